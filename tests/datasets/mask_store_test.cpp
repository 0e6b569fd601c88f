#include "datasets/mask_store.h"

#include "core/error.h"
#include "core/file.h"
#include "tests/datasets/fixtures.h"
#include "tests/datasets/tree.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <png.h>

namespace assay {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::ThrowsMessage;

/// Two categories with one mask of a pixel each; one mask of `bottle` is empty.
class MaskStore : public ::testing::Test {
 protected:
  MaskStore() {
    fixtures::make_mvtec_tree(folder_ / "set");
    fixtures::write_mask(folder_ / "set/bottle/ground_truth/bent/000_mask.png", 0);
    manifest_ = digested();
  }

  Manifest digested() const {
    Manifest manifest = load_manifest("mine", folder_ / "set", "test");
    digest_files(manifest, {});
    return manifest;
  }

  TemporaryFolder folder_;
  Manifest manifest_;
  fs::path store_ = folder_ / "masks";
};

TEST_F(MaskStore, KeepsRunsAreasAndCountsOfEmptyMasks) {
  const LoadedMasks first = load_masks(manifest_, store_, 12);
  const fs::path path = mask_store_path(store_, manifest_digest(manifest_), 12);
  ASSERT_TRUE(fs::exists(path));
  const LoadedMasks second = load_masks(manifest_, store_, 12);
  EXPECT_EQ(second.set, first.set);
  EXPECT_THAT(second.refused, IsEmpty());
  EXPECT_EQ(first.set.masks.size(), manifest_.samples.size());
  EXPECT_THAT(first.set.masks[1].areas, ElementsAre(::testing::Gt(0)));
  EXPECT_THAT(first.set.num_empty, ElementsAre(Pair("bottle", 1)));
  EXPECT_EQ(std::distance(fs::directory_iterator(path.parent_path()), {}), 1);
}

TEST_F(MaskStore, CountsAScratchThatTheResizeLosesAsAnEmptyMask) {  // Case D11.
  const fs::path root = folder_ / "scratch";
  Image mask = fixtures::plain_image(1036, 1036, {0});
  for (std::size_t y = 0; y < 1036; ++y) mask.pixels[y * 1036 + 517] = 255;
  write_png(root / "c/test/bad/0.png", fixtures::plain_image(1036, 1036, {9}));
  write_png(root / "c/ground_truth/bad/0_mask.png", mask);
  const MaskSet set = label_masks(load_manifest("mine", root, "test"), 518);
  EXPECT_THAT(set.masks[0].runs, IsEmpty());
  EXPECT_THAT(set.num_empty, ElementsAre(Pair("c", 1)));
}

TEST_F(MaskStore, RefusesADamagedATruncatedAndAForeignFileAndLabelsAgain) {
  const MaskSet right = load_masks(manifest_, store_, 12).set;
  const fs::path path = mask_store_path(store_, manifest_digest(manifest_), 12);
  const std::string bytes = read_file(path);
  std::string damaged = bytes;
  // The first run: row 0, columns of the anomalous pixel.
  const std::size_t area = damaged.rfind(std::string("\x02\0\0\0\0\0\0\0", 8));
  damaged[area] ^= 1;
  for (const std::string& content :
       {damaged, bytes.substr(0, bytes.size() / 2), std::string("x")}) {
    write_file_atomically(path, content);
    const LoadedMasks loaded = load_masks(manifest_, store_, 12);
    EXPECT_THAT(loaded.refused, HasSubstr(path.string()));
    EXPECT_EQ(loaded.set, right);
    EXPECT_THAT(load_masks(manifest_, store_, 12).refused, IsEmpty());
  }
}

TEST_F(MaskStore, RefusesMasksOfAnotherManifest) {
  (void)load_masks(manifest_, store_, 12);
  const fs::path path = mask_store_path(store_, manifest_digest(manifest_), 12);
  fixtures::write_mask(folder_ / "set/bottle/ground_truth/bent/000_mask.png", 1);
  EXPECT_THAT([&] { (void)read_masks(path, digested(), 12); },
              ThrowsMessage<DataError>(HasSubstr("masks of another manifest or size")));
  EXPECT_THAT([&] { (void)read_masks(path, manifest_, 13); },
              ThrowsMessage<DataError>(HasSubstr("masks of another manifest or size")));
}

TEST_F(MaskStore, RefusesAMaskOfAnotherSizeOrDepth) {
  const fs::path mask = folder_ / "set/bottle/ground_truth/broken/000_mask.png";
  write_png(mask, fixtures::plain_image(4, 6, {255}));
  EXPECT_THAT([&] { (void)label_masks(manifest_, 12); },
              ThrowsMessage<DataError>(HasSubstr("a mask of 4 x 6 pixels, its image has 6 x 4")));
  fixtures::write_raw_png(mask, {.width = 6,
                                 .height = 4,
                                 .bit_depth = 16,
                                 .color_type = PNG_COLOR_TYPE_GRAY,
                                 .rows = std::vector<std::uint8_t>(48, 1),
                                 .palette = {}});
  EXPECT_THAT([&] { (void)label_masks(manifest_, 12); },
              ThrowsMessage<DataError>(HasSubstr("a 16-bit mask")));
}

TEST_F(MaskStore, NamesAFolderInTheWay) {
  fs::create_directories(mask_store_path(store_, manifest_digest(manifest_), 12));
  EXPECT_THAT([&] { (void)load_masks(manifest_, store_, 12); },
              ThrowsMessage<DataError>(HasSubstr("12.h5: not written: Is a directory")));
}

}  // namespace
}  // namespace assay
