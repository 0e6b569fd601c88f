#include "datasets/manifest.h"

#include "core/error.h"
#include "core/file.h"
#include "tests/datasets/tree.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>

#include <map>

namespace assay {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// Paths, labels and masks of a manifest.
std::vector<std::string> lines_of(const Manifest& manifest) {
  std::vector<std::string> lines;
  for (const Sample& sample : manifest.samples) {
    lines.push_back(fmt::format("{} {} {}", sample.path, sample.label, sample.mask_path));
  }
  return lines;
}

std::string digest_of(Manifest manifest) {
  digest_files(manifest, {});
  return manifest_digest(manifest);
}

/// What `load_manifest` says about the user's own set in `root`.
auto loading(const fs::path& root, const std::string& split = "test") {
  return [=] { (void)load_manifest("mine", root, split); };
}

TEST(LoadManifest, PairsImagesAndMasksOfTheMvtecLayout) {
  const TemporaryFolder folder;
  fixtures::make_mvtec_tree(folder.path());
  const Manifest manifest = load_manifest("mine", folder.path(), "test");
  EXPECT_THAT(lines_of(manifest),
              ElementsAre("bottle/test/bent/000.png 1 bottle/ground_truth/bent/000_mask.png",
                          "bottle/test/broken/000.png 1 bottle/ground_truth/broken/000_mask.png",
                          "bottle/test/good/000.png 0 ", "bottle/test/good/001.PNG 0 ",
                          "zipper/test/bent/000.png 1 zipper/ground_truth/bent/000_mask.png",
                          "zipper/test/broken/000.png 1 zipper/ground_truth/broken/000_mask.png",
                          "zipper/test/good/000.png 0 ", "zipper/test/good/001.PNG 0 "));
  EXPECT_TRUE(manifest.has_masks);
  EXPECT_TRUE(manifest.has_normals);
  EXPECT_THAT(manifest.categories(), ElementsAre("bottle", "zipper"));
  EXPECT_EQ(manifest.samples[0].defect_type, "bent");
  EXPECT_EQ(load_manifest("mine", folder.path(), "train").samples.size(), 2U);
  EXPECT_EQ(load_manifest("mine", folder.path(), "all").samples.size(), 10U);
}

TEST(LoadManifest, IgnoresFilesOfAppleAndWindows) {  // Case D04.
  const TemporaryFolder folder;
  fixtures::make_mvtec_tree(folder.path());
  const Manifest clean = load_manifest("mine", folder.path(), "test");
  std::string companion("\0\5\x16\7", 4);
  companion.resize(4096);
  for (const char* name :
       {"bottle/test/good/._000.png", "bottle/test/good/.DS_Store",
        "bottle/ground_truth/broken/._000_mask.png", "zipper/test/good/Thumbs.db", ".DS_Store"}) {
    write_file_atomically(folder / name, companion);
  }
  const Manifest manifest = load_manifest("mine", folder.path(), "test");
  EXPECT_EQ(manifest.samples, clean.samples);
  EXPECT_EQ(digest_of(manifest), digest_of(clean));
}

TEST(LoadManifest, NamesTheMaskFolderThatItExpectedAndTheNearMiss) {  // Case D15.
  const TemporaryFolder folder;
  fixtures::make_mvtec_tree(folder.path());
  for (const char* category : {"bottle", "zipper"}) {
    fs::rename(folder.path() / category / "ground_truth", folder.path() / category / "groundtruth");
  }
  EXPECT_THAT(loading(folder.path()),
              ThrowsMessage<DataError>(AllOf(HasSubstr("bottle/ground_truth: no such folder"),
                                             HasSubstr("did you mean the 'groundtruth'"),
                                             HasSubstr("4 problems in all"))));
}

TEST(LoadManifest, NamesAMissingASurplusAndAnAmbiguousMask) {
  const TemporaryFolder folder;
  fixtures::make_mvtec_tree(folder.path());
  const fs::path masks = folder / "bottle/ground_truth/broken";
  fixtures::write_mask(masks / "000.png", 255);
  EXPECT_THAT(loading(folder.path()),
              ThrowsMessage<DataError>(HasSubstr("two masks, 000_mask.png and 000.png")));
  fs::remove(masks / "000.png");
  fs::rename(masks / "000_mask.png", masks / "001_mask.png");
  EXPECT_THAT(loading(folder.path()),
              ThrowsMessage<DataError>(
                  AllOf(HasSubstr("bottle/test/broken/000.png: no mask; expected "
                                  "bottle/ground_truth/broken/000_mask.png"),
                        HasSubstr("2 problems"))));  // The other: a mask without an image.
}

TEST(LoadManifest, RefusesMasksOfNormalImages) {
  const TemporaryFolder folder;
  fixtures::make_mvtec_tree(folder.path());
  fixtures::write_mask(folder / "bottle/ground_truth/good/000_mask.png", 0);
  EXPECT_THAT(loading(folder.path()),
              ThrowsMessage<DataError>(HasSubstr("bottle/ground_truth/good: 1 masks of images that "
                                                 "are not anomalous")));
}

TEST(LoadManifest, TakesASetWithoutAnyMaskFolderForOneWithoutMasks) {
  const TemporaryFolder folder;
  fixtures::make_mvtec_tree(folder.path());
  fs::remove_all(folder / "bottle/ground_truth");
  fs::remove_all(folder / "zipper/ground_truth");
  EXPECT_FALSE(load_manifest("mine", folder.path(), "test").has_masks);
}

TEST(LoadManifest, PairsUnpaddedNumbersByNameNotByPosition) {  // spec/datasets.md 2.3.
  const TemporaryFolder folder;
  for (const std::string name : {"x_1", "x_10"}) {
    fixtures::write_numbered_image(folder / ("c/test/bad/" + name + ".png"), 1);
    fixtures::write_mask(folder / ("c/ground_truth/bad/" + name + "_mask.png"), 255);
  }
  EXPECT_THAT(lines_of(load_manifest("mine", folder.path(), "test")),
              ElementsAre("c/test/bad/x_1.png 1 c/ground_truth/bad/x_1_mask.png",
                          "c/test/bad/x_10.png 1 c/ground_truth/bad/x_10_mask.png"));
}

TEST(LoadManifest, FindsASetThatAnArchiveNested) {
  const TemporaryFolder folder;
  fixtures::make_mvtec_tree(folder / "again");
  const Manifest manifest = load_manifest("mine", folder.path(), "test");
  EXPECT_EQ(manifest.root, folder / "again");
  EXPECT_EQ(manifest.samples.size(), 8U);
}

TEST(LoadManifest, ReadsTheVisaLayoutWithItsLineEnds) {
  const TemporaryFolder folder;
  fixtures::make_visa_tree(folder.path());
  const Manifest manifest = load_manifest("synth-b", folder.path(), "test");
  EXPECT_THAT(lines_of(manifest),
              ElementsAre("candle/Data/Images/Anomaly/000.JPG 1 candle/Data/Masks/Anomaly/000.png",
                          "candle/Data/Images/Normal/0001.JPG 0 ",
                          "pcb1/Data/Images/Anomaly/000.JPG 1 pcb1/Data/Masks/Anomaly/000.png",
                          "pcb1/Data/Images/Normal/0001.JPG 0 "));
  EXPECT_EQ(load_manifest("synth-b", folder.path(), "train").samples.size(), 2U);
}

TEST(LoadManifest, NamesWhatIsWrongInVisasTable) {
  const TemporaryFolder folder;
  fixtures::make_visa_tree(folder.path());
  const std::string table = read_file(folder / "split_csv/1cls.csv");
  const auto with = [&](const std::string& row) {
    write_file_atomically(folder / "split_csv/1cls.csv", table + row + "\r\n");
    return loading(folder.path());
  };
  EXPECT_THAT(with("candle,test,normal,candle/none.JPG,"),
              ThrowsMessage<DataError>(HasSubstr("candle/none.JPG: no such file")));
  EXPECT_THAT(with("candle,test,anomaly,candle/Data/Images/Normal/0000.JPG,candle/Data/Masks/"
                   "Anomaly/000.png"),
              ThrowsMessage<DataError>(HasSubstr("whose name is another")));
  EXPECT_THAT(with("candle,test,normal,candle/Data/Images/Normal/0000.JPG"
                   ",candle/Data/Masks/Anomaly/000.png"),
              ThrowsMessage<DataError>(HasSubstr("a normal image with a mask")));
  EXPECT_THAT(with("candle;test"),
              ThrowsMessage<DataError>(HasSubstr("1cls.csv:8: not a row of the table")));
  EXPECT_THAT(with("candle,test,normal,candle/Data/Images/Normal/0001.JPG,"),
              ThrowsMessage<DataError>(HasSubstr("0001.JPG: listed twice")));
}

TEST(LoadManifest, ReadsTheTestSubsetOfElpv) {
  const TemporaryFolder folder;
  fixtures::make_elpv_tree(folder.path());
  const Manifest manifest = load_manifest("elpv", folder.path(), "test");
  std::map<int, int> by_label;
  for (const Sample& sample : manifest.samples) ++by_label[sample.label];
  EXPECT_EQ(by_label, (std::map<int, int>{{0, 377}, {1, 715}}));
  EXPECT_THAT(manifest.categories(), ElementsAre("elpv"));
  EXPECT_FALSE(manifest.has_masks);
  EXPECT_EQ(load_manifest("elpv", folder.path(), "train").samples.size(), 1131U);
}

TEST(LoadManifest, RefusesAnotherTableOfElpv) {
  const TemporaryFolder folder;
  fixtures::make_elpv_tree(folder.path(), /*with_images=*/false);
  std::string table = read_file(folder / "labels.csv");
  table.replace(table.find("cell1270"), 8, "cell1271");
  write_file_atomically(folder / "labels.csv", table);
  EXPECT_THAT([&] { (void)load_manifest("elpv", folder.path(), "test"); },
              ThrowsMessage<DataError>(HasSubstr("not the 377 of the papers")));
}

TEST(LoadManifest, ComparesCountsWithTheCatalogue) {
  const TemporaryFolder folder;
  fixtures::make_mvtec_tree(folder.path());
  EXPECT_THAT([&] { (void)load_manifest("mvtec", folder.path(), "test"); },
              ThrowsMessage<DataError>(AllOf(HasSubstr("cable: no such folder"),
                                             HasSubstr("28 problems in all; 'assay data check "
                                                       "mvtec' lists them"))));
}

TEST(LoadManifest, OfAnUnknownNameSaysWhatWasMeant) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { (void)load_manifest("mvtek", folder / "none", "test"); },
              ThrowsMessage<ConfigError>(HasSubstr("did you mean 'mvtec'?")));
  EXPECT_THAT([&] { (void)load_manifest("mvtec", folder / "none", "test"); },
              ThrowsMessage<DataError>(HasSubstr("no such folder; 'mvtec' is expected there")));
  EXPECT_THAT([&] { (void)load_manifest("mine", folder.path(), "test"); },
              ThrowsMessage<DataError>(HasSubstr("not a folder of 'mine'; expected a meta.json or "
                                                 "the layout of VisA")));
  EXPECT_THAT([&] { (void)load_manifest("mine", folder.path(), "validation"); },
              ThrowsMessage<ConfigError>(HasSubstr("'validation' is not a split")));
}

TEST(ManifestDigest, IsThatOfTheContentNotOfPathsAndTimes) {
  const TemporaryFolder first, second;
  fixtures::make_mvtec_tree(first.path());
  fixtures::make_mvtec_tree(second.path());
  const std::string digest = digest_of(load_manifest("mine", first.path(), "test"));
  EXPECT_EQ(digest_of(load_manifest("other", second.path(), "test")), digest);
  fixtures::write_mask(second / "bottle/ground_truth/bent/000_mask.png", 7);
  EXPECT_NE(digest_of(load_manifest("mine", second.path(), "test")), digest);
}

TEST(ManifestDigest, RefusesAManifestWithoutDigests) {
  const TemporaryFolder folder;
  fixtures::make_mvtec_tree(folder.path());
  const Manifest manifest = load_manifest("mine", folder.path(), "test");
  EXPECT_THROW((void)manifest_digest(manifest), std::invalid_argument);
}

TEST(DigestFiles, KeepsDigestsUntilAFileChanges) {
  const TemporaryFolder folder;
  fixtures::make_mvtec_tree(folder / "set");
  const fs::path cache = folder / "digests";
  Manifest manifest = load_manifest("mine", folder / "set", "test");
  digest_files(manifest, cache);
  const std::vector<Sample> before = manifest.samples;

  // A cache that lies shows that it is believed, and that `verify` does not believe it.
  std::string text = read_file(cache);
  text.replace(text.find(before[0].sha256), 64, std::string(64, '0'));
  write_file_atomically(cache, text);
  digest_files(manifest, cache);
  EXPECT_EQ(manifest.samples[0].sha256, std::string(64, '0'));
  digest_files(manifest, cache, /*verify=*/true);
  EXPECT_EQ(manifest.samples, before);

  fixtures::write_numbered_image(folder / "set/bottle/test/bent/000.png", 200);
  digest_files(manifest, cache);
  EXPECT_NE(manifest.samples[0].sha256, before[0].sha256);
  EXPECT_EQ(manifest.samples[1].sha256, before[1].sha256);
}

TEST(DigestFiles, IgnoresACacheThatIsNone) {
  const TemporaryFolder folder;
  fixtures::make_mvtec_tree(folder / "set");
  write_file_atomically(folder / "digests", "\0garbage\n1 2 3\n");
  Manifest manifest = load_manifest("mine", folder / "set", "test");
  digest_files(manifest, folder / "digests");
  EXPECT_EQ(manifest_digest(manifest), digest_of(load_manifest("mine", folder / "set", "test")));
}

}  // namespace
}  // namespace assay
