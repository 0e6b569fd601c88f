// Speed of reading features that are in the page cache (tools/bench.sh).
//
// `literal` reads through the HDF5 library, into a buffer and converted to float32.

#include "core/digest.h"
#include "datasets/feature_store.h"
#include "datasets/hdf5_file.h"
#include "tests/support/bench.h"
#include "tests/support/temporary_folder.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cstring>
#include <span>

namespace assay {
namespace {

constexpr std::int64_t kRecords = 32;

// A shard of records as large as ViT-L/14@336's at 518 px, times `factor`.
std::filesystem::path make_shard(const TemporaryFolder& folder, double factor) {
  const nlohmann::json fields = {{"factor", factor}};
  ShardLayout layout{.feature_key = feature_key(fields),
                     .key_fields = fields,
                     .streams = 1,
                     .layers = 1,
                     .patches = static_cast<std::int64_t>(1369 * factor),
                     .channels = 768,
                     .shard = 0,
                     .num_shards = 1,
                     .image_sha256 = {}};
  for (std::int64_t i = 0; i < kRecords; ++i) {
    layout.image_sha256.push_back(sha256(std::to_string(i)));
  }
  const std::filesystem::path path = folder / fmt::format("{}.h5", factor);
  FeatureShardWriter writer(path, layout);
  const FeatureRecord record{.patch = at::rand({1, 1, layout.patches, 768}).to(at::kHalf),
                             .norm = at::ones({1, 1, layout.patches}),
                             .global = at::ones({768})};
  for (std::int64_t i = 0; i < kRecords; ++i) writer.write(i, record);
  writer.finish();
  return path;
}

// Looks at every 8 bytes of a record, which an optimiser cannot leave out.
std::uint64_t scan(const at::Tensor& patch) {
  const std::span words(static_cast<const std::uint64_t*>(patch.const_data_ptr()),
                        static_cast<std::size_t>(patch.nbytes()) / sizeof(std::uint64_t));
  std::uint64_t sum = 0;
  for (const std::uint64_t word : words) sum += word;
  return sum;
}

void register_all(BenchScale scale) {
  static const TemporaryFolder folder;
  const std::vector<std::pair<const char*, double>> sizes = {
      {"/quarter", 0.25}, {"/one", 1}, {"/four", scale == BenchScale::kQuick ? 1 : 4}};
  for (const auto& [size, factor] : sizes) {
    const std::filesystem::path path = make_shard(folder, factor);
    const std::string key = feature_key({{"factor", factor}});
    add_bench("feature_read" + std::string(size), 1, 9, [=](benchmark::State& state) {
      double bytes = 0;
      for (auto iteration : state) {
        const FeatureShard shard(path, key);
        for (std::int64_t i = 0; i < kRecords; ++i) {
          const FeatureRecord record = shard.record(i);
          benchmark::DoNotOptimize(scan(record.patch));
          bytes += static_cast<double>(record.patch.nbytes());
        }
      }
      set_units(state, bytes);
    });
  }
  add_bench("feature_read/literal", 1, 1, [path = folder / "0.25.h5"](benchmark::State& state) {
    const hdf5::File file = hdf5::open_file(path, hdf5::Access::kRead);
    const hdf5::Dataset patch(H5Dopen2(file.get(), "/patch", H5P_DEFAULT));
    const at::Tensor values = at::empty({kRecords, 1, 1, 1369 / 4, 768});
    for (auto iteration : state) {
      hdf5::check(
          H5Dread(patch.get(), H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data_ptr()),
          path, "H5Dread");
    }
    set_units(state, static_cast<double>(values.nbytes()) / 2);
  });
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) { return assay::bench_main(argc, argv, assay::register_all); }
