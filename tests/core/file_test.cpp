#include "core/file.h"

#include "core/error.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>

#include <cstring>
#include <iterator>

namespace assay {
namespace {

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

TEST(MappedFile, ShowsTheBytesOfTheFile) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "f", "bytes");
  const MappedFile map(folder / "f");
  ASSERT_EQ(map.bytes().size(), 5U);
  EXPECT_EQ(std::memcmp(map.bytes().data(), "bytes", 5), 0);
}

}  // namespace
}  // namespace assay
