// The drawn sets are read by the loaders of the layouts they are written in.
#include "datasets/check.h"
#include "datasets/manifest.h"
#include "datasets/mask_store.h"
#include "datasets/synth.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace assay {
namespace {

using ::testing::IsEmpty;

class SynthLoading : public ::testing::TestWithParam<std::string> {};

TEST_P(SynthLoading, FindsEveryImageWithItsMask) {
  const TemporaryFolder folder;
  const SynthOptions options{
      .image_size = 48, .train_normal = 1, .test_normal = 1, .test_anomalous = 2, .seed = 3};
  write_synth(GetParam(), folder / "set", options);
  EXPECT_THAT(check_dataset(GetParam(), folder / "set").problems, IsEmpty());

  const Manifest manifest = load_manifest(GetParam(), folder / "set", "test");
  const std::size_t num_categories = manifest.categories().size();
  EXPECT_EQ(manifest.samples.size(), 3 * num_categories);
  EXPECT_TRUE(manifest.has_masks);
  EXPECT_TRUE(manifest.has_normals);
  const MaskSet masks = label_masks(manifest, 48);
  for (std::size_t i = 0; i < manifest.samples.size(); ++i) {
    EXPECT_EQ(masks.masks[i].runs.empty(), manifest.samples[i].label == 0)
        << manifest.samples[i].path;
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, SynthLoading, ::testing::Values("synth-a", "synth-b"));

}  // namespace
}  // namespace assay
