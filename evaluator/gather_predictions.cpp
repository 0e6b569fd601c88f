#include "core/error.h"
#include "evaluator/evaluate.h"

#include <ATen/ATen.h>

#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace assay {
namespace {

// A rank's message: count, grid side, then indices, scores and grids.
class Writer {
 public:
  template <typename T>
  void put(const T* values, std::size_t count) {
    const auto bytes = std::as_bytes(std::span(values, count));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  template <typename T>
  void take(T* values, std::size_t count) {
    std::memcpy(values, bytes_.data(), count * sizeof(T));
    bytes_ = bytes_.subspan(count * sizeof(T));
  }

 private:
  std::span<const std::byte> bytes_;
};

struct RankPredictions {
  std::vector<std::int64_t> indices;
  std::vector<float> scores, grids;
  std::int64_t grid = 0;
};

RankPredictions unpack(std::span<const std::byte> bytes) {
  Reader reader(bytes);
  std::int64_t header[2] = {};
  reader.take(header, 2);
  const auto count = static_cast<std::size_t>(header[0]);
  RankPredictions rank;
  rank.grid = header[1];
  rank.indices.resize(count);
  rank.scores.resize(count);
  rank.grids.resize(count * static_cast<std::size_t>(rank.grid * rank.grid));
  reader.take(rank.indices.data(), count);
  reader.take(rank.scores.data(), count);
  reader.take(rank.grids.data(), rank.grids.size());
  return rank;
}

}  // namespace

ImagePredictions gather_predictions(const ImagePredictions& local,
                                    std::span<const std::int64_t> indices,
                                    std::int64_t num_images,
                                    Communicator& comm) {
  const auto count = static_cast<std::int64_t>(indices.size());
  Writer writer;
  const std::int64_t header[2] = {count, count > 0 ? local.grids.size(-1) : 0};
  writer.put(header, 2);
  if (count > 0) {
    if (local.scores.sizes() != at::IntArrayRef{count} ||
        local.grids.sizes() != at::IntArrayRef{count, header[1], header[1]}) {
      throw std::invalid_argument("gather_predictions: as many scores, grids and indices expected");
    }
    const at::Tensor scores = local.scores.to(at::kFloat).contiguous();
    const at::Tensor grids = local.grids.to(at::kFloat).contiguous();
    writer.put(indices.data(), indices.size());
    writer.put(scores.const_data_ptr<float>(), static_cast<std::size_t>(scores.numel()));
    writer.put(grids.const_data_ptr<float>(), static_cast<std::size_t>(grids.numel()));
  }

  ImagePredictions all;
  all.scores = at::empty({num_images}, at::kFloat);
  std::vector<bool> seen(static_cast<std::size_t>(num_images));
  for (const std::vector<std::byte>& bytes : comm.all_gather(writer.bytes())) {
    const RankPredictions rank = unpack(bytes);
    if (rank.indices.empty()) continue;
    const std::int64_t size = rank.grid * rank.grid;
    if (!all.grids.defined()) all.grids = at::empty({num_images, rank.grid, rank.grid}, at::kFloat);
    if (all.grids.size(1) != rank.grid) {
      throw JobError("evaluation: grids of {} and of {} patches a side; all images need one size",
                     all.grids.size(1), rank.grid);
    }
    for (std::size_t i = 0; i < rank.indices.size(); ++i) {
      const std::int64_t image = rank.indices[i];
      if (image < 0 || image >= num_images || seen[image]) {
        throw JobError("evaluation: image {} of {} was scored twice or does not exist", image,
                       num_images);
      }
      seen[image] = true;
      all.scores.mutable_data_ptr<float>()[image] = rank.scores[i];
      std::memcpy(all.grids.mutable_data_ptr<float>() + image * size,
                  rank.grids.data() + static_cast<std::int64_t>(i) * size, size * sizeof(float));
    }
  }
  for (std::size_t image = 0; image < seen.size(); ++image) {
    if (!seen[image]) throw JobError("evaluation: image {} of {} has no score", image, num_images);
  }
  if (!all.grids.defined()) all.grids = at::empty({0, 0, 0}, at::kFloat);
  return all;
}

}  // namespace assay
