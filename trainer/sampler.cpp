#include "trainer/sampler.h"

#include "core/random.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace assay {

Sampler::Sampler(std::int64_t num_images,
                 std::int64_t batch_size,
                 std::int64_t images_per_shard,
                 std::uint64_t seed)
    : num_images_(num_images),
      batch_size_(batch_size),
      images_per_shard_(images_per_shard),
      seed_(seed) {
  if (num_images < 1 || batch_size < 1 || images_per_shard < 1) {
    throw std::invalid_argument("images, batch size and images per shard are at least 1");
  }
}

std::int64_t Sampler::steps_per_epoch() const {
  return (num_images_ + batch_size_ - 1) / batch_size_;
}

std::int64_t Sampler::epoch(std::int64_t step) const { return (step - 1) / steps_per_epoch() + 1; }

std::vector<VirtualShard> Sampler::shards(std::int64_t step) {
  if (ordered_epoch_ != epoch(step)) {
    ordered_epoch_ = epoch(step);
    order_ = RandomStream(seed_, fmt::format("order/{}", ordered_epoch_)).permutation(num_images_);
  }
  const std::int64_t first = (step - 1) % steps_per_epoch() * batch_size_;
  const std::int64_t last = std::min(first + batch_size_, num_images_);
  std::vector<VirtualShard> shards;
  for (std::int64_t begin = first; begin < last; begin += images_per_shard_) {
    const std::int64_t end = std::min(begin + images_per_shard_, last);
    shards.emplace_back(order_.begin() + begin, order_.begin() + end);
  }
  return shards;
}

ShardRange shards_of_rank(std::int64_t num_shards, int rank, int world_size) {
  return {num_shards * rank / world_size, num_shards * (rank + 1) / world_size};
}

std::vector<VirtualShard> joined_by_rank(const std::vector<VirtualShard>& shards, int world_size) {
  std::vector<VirtualShard> joined;
  for (int rank = 0; rank < world_size; ++rank) {
    const auto [begin, end] =
        shards_of_rank(static_cast<std::int64_t>(shards.size()), rank, world_size);
    if (begin == end) continue;
    VirtualShard& all = joined.emplace_back();
    for (std::int64_t shard = begin; shard < end; ++shard) {
      all.insert(all.end(), shards[shard].begin(), shards[shard].end());
    }
  }
  return joined;
}

}  // namespace assay
