// Real data sets, where they are at hand.
#include "core/file.h"
#include "datasets/check.h"
#include "datasets/image.h"
#include "datasets/manifest.h"

#include <gmock/gmock.h>

#include <cstdlib>

namespace assay {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;

TEST(RealElpv, HasTheImagesOfThePapers) {
  const fs::path root = ASSAY_SOURCE_DIR "/.deps/elpv";
  if (!fs::exists(root / "labels.csv")) GTEST_SKIP() << root << " is not there: tools/setup.sh";
  const Manifest manifest = load_manifest("elpv", root, "test");
  EXPECT_EQ(manifest.samples.size(), 1092U);
  const Image image = read_image(root / manifest.samples.front().path);
  EXPECT_EQ(image.width, 300);
  EXPECT_EQ(image.height, 300);
  EXPECT_EQ(image.channels, 1);
}

TEST(RealMvtec, OfAPartNamesWhatIsMissing) {
  const char* folder = std::getenv("ASSAY_DATA_DIR");
  if (folder == nullptr) GTEST_SKIP() << "ASSAY_DATA_DIR is not set";
  const CheckReport report = check_dataset("mvtec", fs::path(folder) / "mvtec");
  EXPECT_THAT(report.problems, Contains(HasSubstr("cable: no such folder")));
  for (const std::string& problem : report.problems) {
    EXPECT_TRUE(problem.find("no such folder") != std::string::npos ||
                problem.find("the catalogue has") != std::string::npos)
        << problem;
  }
  const Manifest bottle = load_manifest("part", fs::path(folder) / "mvtec", "test");
  EXPECT_EQ(bottle.samples.size(), 20U + 63U + 3U + 11U);
  EXPECT_TRUE(bottle.has_masks);
}

}  // namespace
}  // namespace assay
