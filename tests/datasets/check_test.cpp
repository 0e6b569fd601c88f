#include "datasets/check.h"

#include "core/file.h"
#include "tests/datasets/fixtures.h"
#include "tests/datasets/tree.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <png.h>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(CheckDataset, OfACleanSetFindsNothing) {
  const TemporaryFolder folder;
  fixtures::make_mvtec_tree(folder.path());
  const CheckReport report = check_dataset("mine", folder.path());
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_THAT(report.notes, IsEmpty());
  EXPECT_EQ(report.num_images, 10U);
  EXPECT_EQ(report.num_masks, 4U);
}

TEST(CheckDataset, ListsEveryProblem) {
  const TemporaryFolder folder;
  fixtures::make_mvtec_tree(folder.path());
  write_png(folder / "bottle/ground_truth/bent/000_mask.png", fixtures::plain_image(4, 6, {255}));
  fixtures::truncate_file(folder / "bottle/test/good/000.png", 60);
  fixtures::write_raw_png(folder / "zipper/ground_truth/bent/000_mask.png",
                          {.width = 6,
                           .height = 4,
                           .bit_depth = 16,
                           .color_type = PNG_COLOR_TYPE_GRAY,
                           .rows = std::vector<std::uint8_t>(48, 1),
                           .palette = {}});
  std::filesystem::remove(folder / "zipper/ground_truth/broken/000_mask.png");
  EXPECT_THAT(check_dataset("mine", folder.path()).problems,
              ElementsAre(HasSubstr("zipper/test/broken/000.png: no mask"),
                          HasSubstr("000_mask.png: a mask of 4 x 6 pixels, its image has 6 x 4"),
                          AllOf(HasSubstr("bottle/test/good/000.png"), HasSubstr("damaged PNG")),
                          HasSubstr("000_mask.png: a 16-bit mask")));
}

TEST(CheckDataset, NotesWhatIsWorthKnowing) {
  const TemporaryFolder folder;
  fixtures::make_mvtec_tree(folder.path());
  fixtures::write_mask(folder / "bottle/ground_truth/bent/000_mask.png", 0);
  write_file_atomically(folder / "bottle/test/good/._000.png", "x");
  write_file_atomically(folder / "bottle/test/good/Thumbs.db", "x");
  fixtures::write_raw_png(folder / "bottle/test/good/002.png", {.width = 1,
                                                                .height = 1,
                                                                .bit_depth = 16,
                                                                .color_type = PNG_COLOR_TYPE_GRAY,
                                                                .rows = {1, 2},
                                                                .palette = {}});
  fixtures::write_jpeg(folder / "bottle/test/good/003.jpg", fixtures::plain_image(6, 4, {1, 2, 3}),
                       6);
  const CheckReport report = check_dataset("mine", folder.path());
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_THAT(
      report.notes,
      ElementsAre("2 system files ignored (._*, .DS_Store, Thumbs.db)",
                  HasSubstr("bent/000_mask.png: the mask of an anomalous image is empty"),
                  HasSubstr("002.png: 16-bit"), HasSubstr("003.jpg: EXIF orientation 6 ignored")));
}

TEST(CheckDataset, DoesNotComplainOfARotatedImageWhoseMaskIsNot) {  // Case D03.
  const TemporaryFolder folder;
  fixtures::write_jpeg(folder / "c/test/bad/0.jpg", fixtures::plain_image(8, 4, {9, 9, 9}), 6);
  Image mask = fixtures::plain_image(8, 4, {0});
  mask.pixels[7] = 255;
  write_png(folder / "c/ground_truth/bad/0_mask.png", mask);
  EXPECT_THAT(check_dataset("mine", folder.path()).problems, IsEmpty());
}

}  // namespace
}  // namespace assay
