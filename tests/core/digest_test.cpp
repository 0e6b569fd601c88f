#include "core/digest.h"

#include "core/error.h"
#include "core/file.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>

namespace assay {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Sha256, EqualsThePublishedVectors) {  // FIPS 180-2, appendix B.
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256, OfAFileIsThatOfItsBytes) {
  const TemporaryFolder folder;
  const std::string text(1'000'003, 'x');
  write_file_atomically(folder / "f", text);
  EXPECT_EQ(sha256_file(folder / "f"), sha256(text));
}

TEST(Sha256, NamesAFileThatIsMissing) {
  EXPECT_THAT([] { (void)sha256_file("/nowhere/at-all"); },
              ThrowsMessage<DataError>(HasSubstr("/nowhere/at-all: cannot be opened")));
}

}  // namespace
}  // namespace assay
