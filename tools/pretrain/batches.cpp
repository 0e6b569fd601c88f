#include "tools/pretrain/batches.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

namespace assay {
namespace {

constexpr std::size_t kAhead = 6;    // Batches that wait at most.
constexpr float kGreyShare = 0.12F;  // Cameras of inspection lines are often grey.
constexpr float kMean[] = {0.48145466F, 0.4578275F, 0.40821073F};  // OpenAI CLIP.
constexpr float kDeviation[] = {0.26862954F, 0.26130258F, 0.27577711F};

void turn_grey(Drawing& drawing) {
  for (std::size_t i = 0; i < drawing.pixels.size(); i += 3) {
    std::uint8_t* p = &drawing.pixels[i];
    const auto luma =
        static_cast<std::uint8_t>((19595 * p[0] + 38470 * p[1] + 7471 * p[2] + 32768) >> 16);
    p[0] = p[1] = p[2] = luma;
  }
}

/// Collects texts, equal ones once.
class TextTable {
 public:
  std::int64_t row(TokenIds ids) {
    const auto [found, fresh] =
        rows_.emplace(std::move(ids), static_cast<std::int64_t>(texts_.size()));
    if (fresh) texts_.push_back(found->first);
    return found->second;
  }
  [[nodiscard]] const std::vector<TokenIds>& texts() const { return texts_; }

 private:
  std::map<TokenIds, std::int64_t> rows_;
  std::vector<TokenIds> texts_;
};

void fill_patch_share(const Drawing& drawing, std::int64_t patch, float* out) {
  const std::int64_t grid = drawing.size / patch;
  const float weight = 1.0F / static_cast<float>(patch * patch);
  std::fill(out, out + grid * grid, 0.0F);
  for (std::int64_t row = 0; row < drawing.size; ++row) {
    for (std::int64_t column = 0; column < drawing.size; ++column) {
      if (drawing.mask[static_cast<std::size_t>(row * drawing.size + column)] != 0) {
        out[row / patch * grid + column / patch] += weight;
      }
    }
  }
}

}  // namespace

void normalise_pixels(const Drawing& drawing, float* out) {
  const std::size_t n =
      static_cast<std::size_t>(drawing.size) * static_cast<std::size_t>(drawing.size);
  for (std::size_t channel = 0; channel < 3; ++channel) {
    for (std::size_t i = 0; i < n; ++i) {
      const float value = static_cast<float>(drawing.pixels[i * 3 + channel]) / 255.0F;
      out[channel * n + i] = (value - kMean[channel]) / kDeviation[channel];
    }
  }
}

at::Tensor stack_ids(const std::vector<TokenIds>& texts) {
  std::size_t longest = 0;
  for (const TokenIds& ids : texts) longest = std::max(longest, ids.size());
  at::Tensor out = at::zeros(
      {static_cast<std::int64_t>(texts.size()), static_cast<std::int64_t>(longest)}, at::kLong);
  auto* data = out.data_ptr<std::int64_t>();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::copy(texts[i].begin(), texts[i].end(), data + i * longest);
  }
  return out;
}

PretrainBatch make_batch(const BatchOptions& o, std::int64_t step, CaptionWriter& writer) {
  const std::int64_t batch = 2 * o.twins, grid = o.image_size / o.patch;
  PretrainBatch out;
  out.step = step;
  out.images = at::empty({batch, 3, o.image_size, o.image_size});
  out.anomalous = at::empty({batch});
  out.patch_share = at::empty({batch, grid * grid});
  out.caption = at::empty({batch}, at::kLong);
  out.state_normal = at::empty({o.state_pairs}, at::kLong);
  out.state_anomalous = at::empty({o.state_pairs}, at::kLong);
  out.odd_normal = at::empty({o.odd_pairs}, at::kLong);
  out.odd_anomalous = at::empty({o.odd_pairs}, at::kLong);
  out.of_state_alone = at::empty({batch});
  out.oddness = at::empty({batch});
  TextTable table;
  Draws draws(RandomStream(o.seed, "pretrain step").bits(static_cast<std::uint64_t>(step)),
              "pretrain captions");
  std::string noun;
  for (std::int64_t i = 0; i < o.twins; ++i) {
    const auto index = static_cast<std::uint64_t>(step * o.twins + i);
    DrawingTwins twins = draw_twins(
        random_request(DrawingPool::kPretraining, o.seed, index, static_cast<int>(o.image_size)));
    const bool grey = draws.chance(kGreyShare);
    noun = spoken(twins.normal.category);
    for (Drawing* drawing : {&twins.normal, &twins.defective}) {
      const std::int64_t row = 2 * i + (drawing == &twins.defective ? 1 : 0);
      if (grey) turn_grey(*drawing);
      normalise_pixels(*drawing, out.images.data_ptr<float>() + row * out.images.stride(0));
      fill_patch_share(*drawing, o.patch, out.patch_share.data_ptr<float>() + row * grid * grid);
      out.anomalous.data_ptr<float>()[row] = drawing->defect.empty() ? 0.0F : 1.0F;
      out.oddness.data_ptr<float>()[row] = oddness(*drawing);
      CaptionWriter::Caption caption = writer.caption(*drawing, !grey, draws);
      out.of_state_alone.data_ptr<float>()[row] = caption.of_state_alone ? 1.0F : 0.0F;
      out.caption.data_ptr<std::int64_t>()[row] = table.row(std::move(caption.text));
    }
  }
  for (std::int64_t i = 0; i < o.state_pairs; ++i) {
    CaptionWriter::StatePair pair = writer.state_pair(i % 3 == 0 ? noun : "", draws);
    out.state_normal.data_ptr<std::int64_t>()[i] = table.row(std::move(pair.normal));
    out.state_anomalous.data_ptr<std::int64_t>()[i] = table.row(std::move(pair.anomalous));
  }
  for (std::int64_t i = 0; i < o.odd_pairs; ++i) {
    CaptionWriter::StatePair pair = writer.odd_pair(i % 3 == 0 ? noun : "", draws);
    out.odd_normal.data_ptr<std::int64_t>()[i] = table.row(std::move(pair.normal));
    out.odd_anomalous.data_ptr<std::int64_t>()[i] = table.row(std::move(pair.anomalous));
  }
  out.texts = stack_ids(table.texts());
  return out;
}

BatchQueue::BatchQueue(const BatchOptions& options, std::int64_t first, const Tokenizer& tokenizer)
    : options_(options), writer_(tokenizer), thread_([this, first] { work(first); }) {}

BatchQueue::~BatchQueue() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

PretrainBatch BatchQueue::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !ready_.empty() || failure_; });
  if (ready_.empty()) std::rethrow_exception(failure_);
  PretrainBatch batch = std::move(ready_.front());
  ready_.pop_front();
  lock.unlock();
  changed_.notify_all();
  return batch;
}

void BatchQueue::work(std::int64_t step) {
  try {
    for (;; ++step) {
      PretrainBatch batch = make_batch(options_, step, writer_);
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return ready_.size() < kAhead || stop_; });
      if (stop_) return;
      ready_.push_back(std::move(batch));
      lock.unlock();
      changed_.notify_all();
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    failure_ = std::current_exception();
    changed_.notify_all();
  }
}

}  // namespace assay
