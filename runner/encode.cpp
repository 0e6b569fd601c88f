#include "runner/encode.h"

#include "core/comm/agree.h"
#include "core/error.h"
#include "datasets/image.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cstdio>

namespace assay {
namespace {

constexpr std::int64_t kBatchImages = 8;  // Divides kShardImages.
static_assert(kShardImages % kBatchImages == 0);

at::Tensor read_batch(const FeatureFiles& files, std::int64_t first, std::int64_t count) {
  const std::int64_t size = files.encoder.features.image_size;
  at::Tensor images = at::empty({count, 3, size, size});
  for (std::int64_t i = 0; i < count; ++i) {
    const Sample& sample = files.manifest.samples[static_cast<std::size_t>(first + i)];
    preprocess(read_image(files.manifest.root / sample.path), static_cast<std::int32_t>(size),
               images[i].data_ptr<float>());
  }
  return images;
}

ShardLayout layout_of(const FeatureFiles& files, std::int64_t shard, const ClipSizes& sizes) {
  const FeatureSpec& spec = files.encoder.features;
  const std::int64_t grid = spec.image_size / sizes.patch;
  ShardLayout layout{.feature_key = files.encoder.key(),
                     .key_fields = to_json(files.encoder),
                     .streams = static_cast<std::int64_t>(spec.streams.size()),
                     .layers = static_cast<std::int64_t>(spec.layers.size()),
                     .patches = grid * grid,
                     .channels = sizes.joint,
                     .shard = shard,
                     .num_shards = files.num_shards(),
                     .image_sha256 = {}};
  for (std::int64_t i = files.first_image(shard); i < files.first_image(shard + 1); ++i) {
    layout.image_sha256.push_back(files.manifest.samples[static_cast<std::size_t>(i)].sha256);
  }
  return layout;
}

/// Encodes what the shard lacks. Returns false where it stopped.
bool encode_shard(const Clip& clip,
                  const FeatureFiles& files,
                  std::int64_t shard,
                  const std::function<void(std::int64_t)>& on_images,
                  const std::function<bool()>& should_stop) {
  FeatureShardWriter writer(files.path(shard), layout_of(files, shard, clip.sizes()));
  const std::int64_t begin = files.first_image(shard), end = files.first_image(shard + 1);
  for (std::int64_t first = begin; first < end; first += kBatchImages) {
    if (should_stop()) return false;
    const std::int64_t count = std::min(kBatchImages, end - first);
    bool done = true;
    for (std::int64_t i = 0; i < count; ++i) done = done && writer.is_done(first - begin + i);
    if (!done) {
      const std::vector<FeatureRecord> records = encode_images(clip, files, first, count);
      for (std::int64_t i = 0; i < count; ++i) {
        writer.write(first - begin + i, records[static_cast<std::size_t>(i)]);
      }
    }
    on_images(count);
  }
  writer.finish();
  return true;
}

}  // namespace

EncodedImages encode_pixels(const Clip& clip,
                            const at::Tensor& pixels,
                            const FeatureSpec& spec,
                            bool literal) {
  const VisualFeatures features = clip.encode_images(pixels, spec, /*with_hidden=*/literal);
  std::vector<at::Tensor> streams;
  for (const std::string& stream : spec.streams) {
    streams.push_back(features.patch.at(stream).slice(2, 1));  // Without the class token.
  }
  const at::Tensor patch = at::stack(streams).permute({2, 0, 1, 3, 4});  // [B, E, L, N, J]
  const at::Tensor norm = patch.norm(2, -1, /*keepdim=*/true);           // [B, E, L, N, 1]
  return {patch / norm, norm.squeeze(-1), features.global};
}

std::vector<FeatureRecord> encode_images(const Clip& clip,
                                         const FeatureFiles& files,
                                         std::int64_t first,
                                         std::int64_t count) {
  const c10::InferenceMode guard;
  const EncodedImages encoded = encode_pixels(
      clip, read_batch(files, first, count).to(clip.device()), files.encoder.features);
  const at::Tensor unit = encoded.patch.to(at::kHalf).cpu().contiguous();
  const at::Tensor norm = encoded.norm.cpu(), global = encoded.global.cpu();
  std::vector<FeatureRecord> records;
  for (std::int64_t i = 0; i < count; ++i) {
    if (!norm[i].isfinite().all().item<bool>() || !unit[i].isfinite().all().item<bool>() ||
        !global[i].isfinite().all().item<bool>()) {
      throw JobError("{}: its features are not finite; the weights or the image are damaged",
                     files.manifest.samples[static_cast<std::size_t>(first + i)].path);
    }
    records.push_back({unit[i], norm[i].contiguous(), global[i].contiguous()});
  }
  return records;
}

bool encode_missing_shards(
    const std::function<const Clip&()>& clip,
    const FeatureFiles& files,
    Communicator& comm,
    const std::function<void(std::int64_t done, std::int64_t total)>& on_image,
    const std::function<bool()>& should_stop) {
  bool stopped = false;
  agree(comm, [&] {
    std::vector<std::int64_t> mine;
    std::int64_t total = 0, done = 0;
    for (std::int64_t shard = comm.rank(); shard < files.num_shards(); shard += comm.world_size()) {
      const std::string problem = shard_problem(files, shard);
      if (problem.empty()) continue;
      if (std::filesystem::exists(files.path(shard))) {
        fmt::print(stderr, "{}; it is made again\n", problem);
        std::filesystem::remove_all(files.path(shard));
      }
      mine.push_back(shard);
      total += files.first_image(shard + 1) - files.first_image(shard);
    }
    for (const std::int64_t shard : mine) {
      const auto on_images = [&](std::int64_t count) { on_image(done += count, total); };
      stopped = !encode_shard(clip(), files, shard, on_images, should_stop);
      if (stopped) return;
    }
  });
  return !any_rank(comm, stopped);
}

}  // namespace assay
