#include "core/digest.h"
#include "core/error.h"
#include "core/file.h"
#include "runner/plan.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::ThrowsMessage;

TEST(PlanFilesTest, NamesWeightsThatAreMissingAndHowToGiveThem) {
  const TemporaryFolder folder;
  const Study study = parse_study(
      "schema = 1\nname = 's'\ntargets = ['visa']\nweights = 'w'\n[[sweep]]\nmethod = 'clip'\n",
      folder / "s.toml");
  PlanFiles files(study, folder / "workspace", folder / "sources");
  EXPECT_THAT(
      [&] { (void)files.weights_sha256(find_backbone("clip-vit-l-14-336")); },
      ThrowsMessage<DataError>(AllOf(HasSubstr("w/clip-vit-l-14-336.safetensors: no weights "
                                               "of backbone clip-vit-l-14-336 there"),
                                     HasSubstr("weights = \"FOLDER\""))));
  write_file_atomically(folder / "w/clip-vit-l-14-336.safetensors", "weights");
  EXPECT_EQ(files.weights_sha256(find_backbone("clip-vit-l-14-336")), sha256("weights"));
}

TEST(PlanFilesTest, ListsAndDigestsTheFilesOfASetAndForgivesAMissingTrainSplit) {
  const TemporaryFolder folder;
  for (const char* image :
       {"train/good/0.png", "test/good/0.png", "test/hole/0.png", "ground_truth/hole/0_mask.png"}) {
    write_file_atomically(folder / "data/mine/tile" / image, image);
  }
  write_file_atomically(folder / "data/alltest/meta.json",
                        R"({"test": {"x": [{"img_path": "0.png", "mask_path": "", "cls_name": "x",
          "specie_name": "", "anomaly": 0}]}})");
  write_file_atomically(folder / "data/alltest/0.png", "image");
  const Study study = parse_study(
      "schema = 1\nname = 's'\ntargets = ['mine']\ndata = 'data'\n"
      "[[sweep]]\nmethod = 'clip'\n",
      folder / "s.toml");
  PlanFiles files(study, folder / "workspace", folder / "sources");
  const Manifest& test = files.manifest("mine", "test");
  ASSERT_THAT(test.samples, SizeIs(2));
  EXPECT_EQ(test.samples[0].sha256, sha256("test/good/0.png"));
  EXPECT_TRUE(test.has_masks);
  EXPECT_THAT(files.manifest("mine", "train").samples, SizeIs(1));
  EXPECT_THAT(files.manifest("alltest", "test").samples, SizeIs(1));
  EXPECT_THAT(files.manifest("alltest", "train").samples, IsEmpty());
}

}  // namespace
}  // namespace assay
