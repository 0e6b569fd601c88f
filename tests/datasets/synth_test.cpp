#include "datasets/synth.h"

#include "core/error.h"
#include "core/file.h"
#include "datasets/image.h"
#include "datasets/synth_drawing.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

namespace assay {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr DrawingPool kPools[] = {DrawingPool::kPretraining, DrawingPool::kSynthA,
                                  DrawingPool::kSynthB};

SynthOptions small_options() {
  return {.image_size = 48, .train_normal = 2, .test_normal = 2, .test_anomalous = 8, .seed = 3};
}

std::map<std::string, std::string> contents(const fs::path& root) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.is_regular_file()) {
      files[fs::relative(entry.path(), root).string()] = read_file(entry.path());
    }
  }
  return files;
}

TEST(SynthPools, ShareNoCategoryAndNoDefectKind) {
  std::set<int> categories;
  std::set<DefectKind> defects;
  std::size_t num_categories = 0, num_defects = 0;
  for (const DrawingPool pool : kPools) {
    for (const int category : pool_categories(pool)) categories.insert(category);
    for (const DefectKind kind : pool_defects(pool)) defects.insert(kind);
    num_categories += pool_categories(pool).size();
    num_defects += pool_defects(pool).size();
  }
  EXPECT_EQ(categories.size(), num_categories);
  EXPECT_EQ(defects.size(), num_defects);
}

TEST(SynthPools, AreLargeEnoughToGeneraliseFrom) {
  EXPECT_GE(pool_categories(DrawingPool::kPretraining).size(), 24U);
  EXPECT_GE(pool_defects(DrawingPool::kPretraining).size(), 14U);
  for (const DrawingPool pool : {DrawingPool::kSynthA, DrawingPool::kSynthB}) {
    EXPECT_GE(pool_categories(pool).size(), 5U);
    EXPECT_GE(pool_defects(pool).size(), 6U);
  }
}

TEST(SynthPools, TheHeldOutPoolIsThatOfBothSets) {
  EXPECT_EQ(
      pool_categories(DrawingPool::kHeldOut).size(),
      pool_categories(DrawingPool::kSynthA).size() + pool_categories(DrawingPool::kSynthB).size());
}

TEST(SynthDrawing, IsAFunctionOfItsRequest) {
  for (std::uint64_t index = 0; index < 20; ++index) {
    const DrawingRequest request = random_request(DrawingPool::kPretraining, 5, index, 48);
    const DrawingTwins first = draw_twins(request), second = draw_twins(request);
    EXPECT_EQ(first.defective.pixels, second.defective.pixels);
    EXPECT_EQ(first.defective.mask, second.defective.mask);
    EXPECT_EQ(first.normal.pixels, draw_normal(request).pixels);
  }
}

TEST(SynthDrawing, DifferentSeedsGiveDifferentDrawings) {
  std::set<std::vector<std::uint8_t>> drawings;
  for (std::uint64_t index = 0; index < 20; ++index) {
    drawings.insert(draw_normal(random_request(DrawingPool::kSynthA, 1, index, 32)).pixels);
  }
  EXPECT_EQ(drawings.size(), 20U);
}

/// The mask and the pixels beside it, which the camera's blur reaches.
bool near_mask(const Drawing& drawing, int row, int column) {
  for (int r = std::max(row - 1, 0); r <= std::min(row + 1, drawing.size - 1); ++r) {
    for (int c = std::max(column - 1, 0); c <= std::min(column + 1, drawing.size - 1); ++c) {
      if (drawing.mask[static_cast<std::size_t>(r * drawing.size + c)] != 0) return true;
    }
  }
  return false;
}

/// Largest change of a channel away from the mask. Below the mask's threshold, a twelfth of the
/// range, shades may differ: the soft rims of stains and dents.
int largest_change_outside(const DrawingTwins& twins) {
  int largest = 0;
  const int n = twins.normal.size;
  for (int row = 0; row < n; ++row) {
    for (int column = 0; column < n; ++column) {
      if (near_mask(twins.defective, row, column)) continue;
      int sum = 0;
      for (int channel = 0; channel < 3; ++channel) {
        const auto i = static_cast<std::size_t>((row * n + column) * 3 + channel);
        sum += std::abs(int{twins.normal.pixels[i]} - int{twins.defective.pixels[i]});
      }
      largest = std::max(largest, sum / 3);
    }
  }
  return largest;
}

TEST(SynthDrawing, TwinsDifferOnlyWithinTheMaskForEveryDefectKind) {
  for (const DrawingPool pool : kPools) {
    const std::vector<DefectKind> kinds = pool_defects(pool);
    for (std::size_t i = 0; i < 3 * kinds.size(); ++i) {
      DrawingRequest request = random_request(pool, 11, i, 64);
      request.defect = kinds[i % kinds.size()];
      const DrawingTwins twins = draw_twins(request);
      EXPECT_LE(largest_change_outside(twins), 20) << defect_name(request.defect) << " " << i;
    }
  }
}

TEST(SynthDrawing, EveryDefectCanBeSeen) {
  for (const DrawingPool pool : kPools) {
    const std::vector<DefectKind> kinds = pool_defects(pool);
    for (std::size_t i = 0; i < 3 * kinds.size(); ++i) {
      DrawingRequest request = random_request(pool, 12, i, 64);
      request.defect = kinds[i % kinds.size()];
      const DrawingTwins twins = draw_twins(request);
      EXPECT_GE(std::ranges::count(twins.defective.mask, 1), 4) << defect_name(request.defect);
      EXPECT_EQ(std::ranges::count(twins.normal.mask, 1), 0);
      EXPECT_NE(twins.normal.pixels, twins.defective.pixels);
    }
  }
}

TEST(WriteSynth, GivesTheSameBytesAgain) {
  const TemporaryFolder folder;
  for (const std::string& name : synth_names()) {
    EXPECT_TRUE(write_synth(name, folder.path() / "one", small_options()));
    EXPECT_TRUE(write_synth(name, folder.path() / "two", small_options()));
    EXPECT_EQ(contents(folder.path() / "one"), contents(folder.path() / "two"));
    fs::remove_all(folder.path() / "one");
    fs::remove_all(folder.path() / "two");
  }
}

TEST(WriteSynth, ShowsTheProductsOfACategoryInTurn) {
  const TemporaryFolder folder;
  SynthOptions options = small_options();
  const auto pictures = [&](std::int64_t products) {
    options.products = products;
    const fs::path root = folder.path() / std::to_string(products);
    write_synth("synth-a", root, options);
    return std::vector{read_file(root / "bearing/train/good/000.png"),
                       read_file(root / "bearing/train/good/001.png"),
                       read_file(root / "bearing/test/good/000.png")};
  };
  const auto one = pictures(1), two = pictures(2);
  EXPECT_EQ(one[0], two[0]);
  EXPECT_NE(one[1], two[1]);
  EXPECT_EQ(one[2], two[2]) << "the same specimen of the first product again";
}

TEST(WriteSynth, LaysSetAOutAsMvtecAd) {
  const TemporaryFolder folder;
  write_synth("synth-a", folder.path() / "a", small_options());
  const fs::path category = folder.path() / "a" / "bearing";
  EXPECT_TRUE(fs::exists(category / "train/good/001.png"));
  EXPECT_TRUE(fs::exists(category / "test/good/001.png"));
  const Image image = read_image(category / "test/gouge/001.png");
  const Image mask = read_image(category / "ground_truth/gouge/001_mask.png");
  EXPECT_EQ(image.channels, 3);
  EXPECT_EQ(image.height, mask.height);
  EXPECT_EQ(image.width, mask.width);
  EXPECT_EQ(std::ranges::max(mask.pixels), 255);
  EXPECT_FALSE(fs::exists(category / "ground_truth/good"));
}

TEST(WriteSynth, LaysSetBOutAsVisa) {
  const TemporaryFolder folder;
  write_synth("synth-b", folder.path() / "b", small_options());
  const std::string table = read_file(folder.path() / "b/split_csv/1cls.csv");
  EXPECT_TRUE(table.starts_with("object,split,label,image,mask\r\n"));
  EXPECT_THAT(table, HasSubstr("padlock,train,normal,padlock/Data/Images/Normal/000.png,\r\n"));
  EXPECT_THAT(table, HasSubstr("padlock,test,anomaly,padlock/Data/Images/Anomaly/003.png,"
                               "padlock/Data/Masks/Anomaly/003.png\r\n"));
  // As in VisA the fourth kind's mask holds a 4, which looks black.
  const Image mask = read_image(folder.path() / "b/padlock/Data/Masks/Anomaly/003.png");
  EXPECT_EQ(std::ranges::max(mask.pixels), 4);
  EXPECT_TRUE(fs::exists(folder.path() / "b/padlock/image_anno.csv"));
}

TEST(WriteSynth, DoesNothingWhereTheSetIsAlreadyThere) {
  const TemporaryFolder folder;
  EXPECT_TRUE(write_synth("synth-a", folder.path() / "a", small_options()));
  EXPECT_FALSE(write_synth("synth-a", folder.path() / "a", small_options()));
}

TEST(WriteSynth, StartsAgainAfterAKill) {
  const TemporaryFolder folder;
  fs::create_directories(folder.path() / "a.partial/bearing");
  std::ofstream(folder.path() / "a.partial/bearing/half.png") << "half";
  write_synth("synth-a", folder.path() / "a", small_options());
  EXPECT_FALSE(fs::exists(folder.path() / "a/bearing/half.png"));
  EXPECT_FALSE(fs::exists(folder.path() / "a.partial"));
}

std::string refusal(const std::string& name, const fs::path& root) {
  try {
    write_synth(name, root, small_options());
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(WriteSynth, RefusesToWriteOverSomethingElse) {
  const TemporaryFolder folder;
  fs::create_directories(folder.path() / "mine");
  std::ofstream(folder.path() / "mine/thesis.tex") << "years of work";
  EXPECT_THAT(refusal("synth-a", folder.path() / "mine"), HasSubstr("is not empty"));
  EXPECT_EQ(read_file(folder.path() / "mine/thesis.tex"), "years of work");
  EXPECT_THAT(refusal("synth-a", folder.path() / "mine/thesis.tex"), HasSubstr("in the way"));

  write_synth("synth-b", folder.path() / "b", small_options());
  EXPECT_THAT(refusal("synth-a", folder.path() / "b"), HasSubstr("another synthetic data set"));
}

TEST(WriteSynth, NamesTheKnownSets) {
  EXPECT_THAT(refusal("synth-c", "unused"), HasSubstr("known: synth-a, synth-b"));
}

}  // namespace
}  // namespace assay
