#include "core/error.h"
#include "core/file.h"
#include "datasets/manifest.h"
#include "tests/datasets/tree.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace assay {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::string digest_of(Manifest manifest) {
  digest_files(manifest, {});
  return manifest_digest(manifest);
}

/// A plain tree and a folder of links to it, which can be given a meta.json of its own.
class MetaJson : public ::testing::Test {
 protected:
  MetaJson() {
    fixtures::make_mvtec_tree(root_);
    for (const char* split : {"train", "test"}) {
      splits_.push_back(load_manifest("mine", root_, split));
    }
  }

  /// Changes the first entry of `bottle` (an image with a mask is its last).
  void edit(const std::function<void(Json& list)>& change) {
    fixtures::write_meta_json(root_ / "meta.json", splits_);
    Json index = Json::parse(read_file(root_ / "meta.json"));
    change(index["test"]["bottle"]);
    write_file_atomically(root_ / "meta.json", index.dump());
  }

  auto loading() const {
    return [this] { (void)load_manifest("mine", root_, "test"); };
  }

  TemporaryFolder folder_;
  fs::path root_ = folder_ / "mvtec";
  std::vector<Manifest> splits_;
};

TEST_F(MetaJson, GivesTheManifestOfThePlainTree) {  // Case J05.
  fixtures::write_meta_json(root_ / "meta.json", splits_);
  EXPECT_EQ(load_manifest("mine", root_, "test").samples, splits_[1].samples);
  EXPECT_EQ(digest_of(load_manifest("mine", root_, "test")), digest_of(splits_[1]));
  EXPECT_EQ(load_manifest("mine", root_, "all").samples.size(), 10U);
}

TEST_F(MetaJson, MayHaveAbsolutePathsAlsoOfATreeThatMoved) {
  for (const std::string& prefix : {root_.string() + "//", std::string("/somewhere/else/mvtec/")}) {
    fixtures::write_meta_json(root_ / "meta.json", splits_, prefix);
    EXPECT_EQ(load_manifest("mine", root_, "test").samples, splits_[1].samples) << prefix;
  }
}

TEST_F(MetaJson, MayLieBesideTheFolderAsBayesPflHasIt) {
  fixtures::write_meta_json(folder_ / "meta_mvtec.json", splits_, "mvtec/");
  EXPECT_EQ(load_manifest("mine", root_, "test").samples, splits_[1].samples);
}

TEST_F(MetaJson, MayWriteSplitsWithCapitals) {
  fixtures::write_meta_json(root_ / "meta.json", splits_);
  std::string text = read_file(root_ / "meta.json");
  text.replace(text.find("\"test\""), 6, "\"Test\"");
  write_file_atomically(root_ / "meta.json", text);
  EXPECT_EQ(load_manifest("mine", root_, "test").samples, splits_[1].samples);
}

TEST_F(MetaJson, MayHavePlaceholders) {
  edit([](Json& list) {
    Json entry = list[0];
    entry["img_path"] = "";
    list.push_back(entry);
  });
  EXPECT_EQ(load_manifest("mine", root_, "test").samples, splits_[1].samples);
}

TEST_F(MetaJson, WithoutMaskPathsOrWithoutTheirFilesHasNoMasks) {  // Case J04.
  for (Sample& sample : splits_[1].samples) sample.mask_path.clear();
  fixtures::write_meta_json(root_ / "meta.json", splits_);
  EXPECT_FALSE(load_manifest("mine", root_, "test").has_masks);
  for (Sample& sample : splits_[1].samples) {
    if (sample.label == 1) sample.mask_path = "never/drawn.png";
  }
  fixtures::write_meta_json(root_ / "meta.json", splits_);
  EXPECT_FALSE(load_manifest("mine", root_, "test").has_masks);
}

TEST_F(MetaJson, TakesAnEmptyMaskPathForNoMask) {
  edit([](Json& list) { list.back()["mask_path"] = ""; });
  const Manifest manifest = load_manifest("mine", root_, "test");
  EXPECT_TRUE(manifest.has_masks);
  EXPECT_EQ(manifest.samples.front().label, 1);
  EXPECT_EQ(manifest.samples.front().mask_path, "");
}

TEST_F(MetaJson, RefusesOneMissingMask) {
  edit([](Json& list) { list.back()["mask_path"] = "bottle/ground_truth/none.png"; });
  EXPECT_THAT(loading(),
              ThrowsMessage<DataError>(HasSubstr("bottle/ground_truth/none.png: no such file")));
}

TEST_F(MetaJson, RefusesPathsThatLeaveTheFolder) {
  fixtures::write_numbered_image(folder_ / "secret.png", 1);
  for (const std::string& path : {std::string("../secret.png"), (folder_ / "secret.png").string(),
                                  std::string("bottle/../../secret.png")}) {
    edit([&](Json& list) { list[0]["img_path"] = path; });
    EXPECT_THAT(loading(), ThrowsMessage<DataError>(HasSubstr("secret.png"))) << path;
  }
  edit([&](Json& list) { list[0]["img_path"] = (folder_ / "secret.png").string(); });
  EXPECT_THAT(loading(),
              ThrowsMessage<DataError>(HasSubstr("outside of the data set's folder; refused")));
}

TEST_F(MetaJson, RefusesEntriesThatContradictThemselves) {
  edit([](Json& list) { list[0]["cls_name"] = "zipper"; });
  EXPECT_THAT(loading(),
              ThrowsMessage<DataError>(HasSubstr("cls_name 'zipper' in the list of 'bottle'")));
  edit([](Json& list) { list.push_back(list[0]); });
  EXPECT_THAT(loading(), ThrowsMessage<DataError>(HasSubstr("listed twice")));
  edit([](Json& list) { list[0]["anomaly"] = 2; });
  EXPECT_THAT(loading(), ThrowsMessage<DataError>(HasSubstr("anomaly 2, expected 0 or 1")));
  edit([](Json& list) { list[0].erase("anomaly"); });
  EXPECT_THAT(loading(), ThrowsMessage<DataError>(HasSubstr("an entry is not as expected")));
}

TEST_F(MetaJson, NamesAFileThatIsNotJson) {
  write_file_atomically(root_ / "meta.json", "{");
  EXPECT_THAT(loading(), ThrowsMessage<DataError>(HasSubstr("meta.json: not JSON")));
}

}  // namespace
}  // namespace assay
