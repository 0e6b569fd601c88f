#include "core/file.h"

#include "core/error.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <iterator>

namespace assay {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(WriteFileAtomically, ReplacesAFileAndLeavesNothingBeside) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "new/deep/f.txt", "first");
  write_file_atomically(folder / "new/deep/f.txt", "second");
  EXPECT_EQ(read_file(folder / "new/deep/f.txt"), "second");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder / "new/deep"), {}), 1);
}

TEST(WriteFileAtomically, RefusesAFolderInTheWay) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "f.txt");
  EXPECT_THAT([&] { write_file_atomically(folder / "f.txt", "x"); },
              ThrowsMessage<DataError>(HasSubstr("a folder is in the way")));
}

TEST(WriteFileAtomically, OnAFullDiskNamesPathAndBytesAndLeavesNoFile) {
  EXPECT_THAT([] { write_file_atomically("/dev/full/x", "abc"); },
              ThrowsMessage<DataError>(HasSubstr("/dev/full/x")));
}

TEST(WriteFileAtomically, OnAFullDiskNamesWhatIsNeededAndWhatIsFree) {
  const TemporaryFolder folder;
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit small{.rlim_cur = 1000, .rlim_max = limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  std::signal(SIGXFSZ, SIG_IGN);
  const std::string large(5000, 'x');
  EXPECT_THAT([&] { write_file_atomically(folder / "f", large); },
              ThrowsMessage<DataError>(ContainsRegex(
                  "/f: write failed, 5000 bytes needed, [0-9]+ free: File too large")));
  ::setrlimit(RLIMIT_FSIZE, &limit);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(WantOfRoom, IsAFullDiskAndAQuotaReached) {
  EXPECT_TRUE(is_want_of_room(ENOSPC));
  EXPECT_TRUE(is_want_of_room(EDQUOT));
  EXPECT_FALSE(is_want_of_room(EIO));
}

TEST(Ownership, NamesOwnerGroupAndMode) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "f", "x");
  std::filesystem::permissions(folder / "f", std::filesystem::perms(0640));
  EXPECT_THAT(ownership_text(folder / "f"), ContainsRegex("^owner .+, group .+, mode 0640$"));
}

TEST(MappedFile, ShowsTheBytesOfTheFile) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "f", "bytes");
  const MappedFile map(folder / "f");
  ASSERT_EQ(map.bytes().size(), 5U);
  EXPECT_EQ(std::memcmp(map.bytes().data(), "bytes", 5), 0);
}

}  // namespace
}  // namespace assay
