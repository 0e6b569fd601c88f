#include "tools/pretrain/evaluate.h"

#include "evaluator/metrics.h"
#include "tools/pretrain/batches.h"
#include "tools/pretrain/tiny_clip.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace assay {
namespace {

constexpr std::int64_t kGroup = 64;  // Captions to choose from.
constexpr std::int64_t kBatch = 40;

std::vector<Drawing> held_out_drawings(const HeldOutOptions& o) {
  const std::vector<DefectKind> kinds = pool_defects(o.pool);
  std::vector<Drawing> drawings;
  for (std::int64_t i = 0; i < o.size; ++i) {
    DrawingRequest request = random_request(o.pool, o.seed, static_cast<std::uint64_t>(i),
                                            static_cast<int>(o.image_size));
    if (i % 2 == 0) {
      drawings.push_back(draw_normal(request));
    } else {
      request.defect = kinds[static_cast<std::size_t>(i / 2) % kinds.size()];
      drawings.push_back(draw_twins(request).defective);
    }
  }
  return drawings;
}

at::Tensor unit(const at::Tensor& x) { return x / x.norm(2, -1, true); }

double area(const std::vector<float>& scores, const std::vector<std::uint8_t>& labels) {
  return image_metrics(scores, labels).auroc.value_or(0.5);
}

/// Scores and labels that grow together.
struct Scored {
  std::vector<float> scores;
  std::vector<std::uint8_t> labels;
  void add(float score, bool label) {
    scores.push_back(score);
    labels.push_back(label ? 1 : 0);
  }
};

class Evaluation {
 public:
  Evaluation(const Clip& clip, const Tokenizer& tokenizer, const HeldOutOptions& options)
      : clip_(clip), writer_(tokenizer), options_(options), drawings_(held_out_drawings(options)) {}

  HeldOutReport run() {
    for (std::int64_t i = 0; i < options_.size; i += kBatch) {
      encode(i, std::min(i + kBatch, options_.size));
    }
    report_.patch_auroc_qk = area(qk_.scores, qk_.labels);
    report_.patch_auroc_vv = area(vv_.scores, vv_.labels);
    retrieve();
    score();
    return report_;
  }

 private:
  /// a - n of raw CLIP's two prompts for the category.
  at::Tensor direction(std::string_view category) {
    const std::string name(category);
    if (!directions_.contains(name)) {
      const at::Tensor texts = unit(clip_.encode_texts(
          stack_ids({writer_.encode("a photo of a normal " + spoken(name)),
                     writer_.encode("a photo of an anomalous " + spoken(name))})));
      directions_[name] = texts[1] - texts[0];
    }
    return directions_.at(name);
  }

  void encode(std::int64_t begin, std::int64_t end) {
    const std::int64_t n = options_.image_size;
    at::Tensor images = at::empty({end - begin, 3, n, n});
    for (std::int64_t i = begin; i < end; ++i) {
      normalise_pixels(drawings_[static_cast<std::size_t>(i)], images[i - begin].data_ptr<float>());
    }
    FeatureSpec spec;
    spec.streams = {"qk", "vv"};
    spec.first_block = kTinyFirstVvBlock;
    spec.layers = {clip_.sizes().vision_layers};
    spec.cls_ln_post = true;
    const VisualFeatures features = clip_.encode_images(images, spec);
    globals_.push_back(unit(features.global));
    for (std::int64_t i = begin; i < end; ++i) {
      const Drawing& drawing = drawings_[static_cast<std::size_t>(i)];
      if (drawing.defect.empty()) continue;
      const at::Tensor to = direction(drawing.category);
      add_patches(drawing, at::matmul(unit(features.patch.at("qk")[0][i - begin].slice(0, 1)), to),
                  qk_);
      add_patches(drawing, at::matmul(unit(features.patch.at("vv")[0][i - begin].slice(0, 1)), to),
                  vv_);
    }
  }

  /// A patch is anomalous where the mask covers its centre.
  void add_patches(const Drawing& drawing, const at::Tensor& scores, Scored& out) const {
    const std::int64_t patch = clip_.sizes().patch, grid = drawing.size / patch;
    const auto* data = scores.data_ptr<float>();
    for (std::int64_t i = 0; i < grid * grid; ++i) {
      const std::int64_t row = i / grid * patch + patch / 2, column = i % grid * patch + patch / 2;
      out.add(data[i], drawing.mask[static_cast<std::size_t>(row * drawing.size + column)] != 0);
    }
  }

  /// Groups of 64 images with distinct captions, in the order of the list.
  void retrieve() {
    const at::Tensor globals = at::cat(globals_);
    std::vector<std::size_t> left(drawings_.size());
    for (std::size_t i = 0; i < left.size(); ++i) left[i] = i;
    std::int64_t hits = 0;
    for (;;) {
      std::vector<std::size_t> group, rest;
      std::set<std::string> seen;
      std::vector<TokenIds> texts;
      for (const std::size_t i : left) {
        const std::string caption = plain_caption(drawings_[i]);
        if (static_cast<std::int64_t>(group.size()) == kGroup || !seen.insert(caption).second) {
          rest.push_back(i);
          continue;
        }
        group.push_back(i);
        texts.push_back(writer_.encode(caption));
      }
      if (static_cast<std::int64_t>(group.size()) < kGroup) break;
      const at::Tensor features = unit(clip_.encode_texts(stack_ids(texts)));
      for (std::int64_t k = 0; k < kGroup; ++k) {
        const at::Tensor similarity = at::matmul(
            features, globals[static_cast<std::int64_t>(group[static_cast<std::size_t>(k)])]);
        hits += similarity.argmax().item<std::int64_t>() == k ? 1 : 0;
      }
      report_.retrieved += kGroup;
      left = std::move(rest);
    }
    if (report_.retrieved > 0) {
      report_.retrieval = static_cast<double>(hits) / static_cast<double>(report_.retrieved);
    }
  }

  void score() {
    const at::Tensor globals = at::cat(globals_);
    Scored all;
    for (std::size_t i = 0; i < drawings_.size(); ++i) {
      const at::Tensor difference =
          at::dot(globals[static_cast<std::int64_t>(i)], direction(drawings_[i].category));
      all.add(difference.item<float>(), !drawings_[i].defect.empty());
    }
    report_.auroc = area(all.scores, all.labels);
    const std::int64_t anomalous = std::ranges::count(all.labels, 1);
    report_.auroc_low = report_.auroc - 1.96 * auroc_standard_error(report_.auroc, anomalous,
                                                                    options_.size - anomalous);
    std::set<std::string_view> kinds, categories;
    for (const Drawing& drawing : drawings_) {
      kinds.insert(drawing.defect);
      categories.insert(drawing.category);
    }
    kinds.erase("");
    for (const std::string_view kind : kinds) {
      report_.by_kind[std::string(kind)] =
          area_where(all, [&](const Drawing& d) { return d.defect.empty() || d.defect == kind; });
    }
    for (const std::string_view category : categories) {
      report_.by_category[std::string(category)] =
          area_where(all, [&](const Drawing& d) { return d.category == category; });
    }
  }

  template <typename Keep>
  double area_where(const Scored& all, Keep keep) const {
    Scored some;
    for (std::size_t i = 0; i < drawings_.size(); ++i) {
      if (keep(drawings_[i])) some.add(all.scores[i], all.labels[i] != 0);
    }
    return area(some.scores, some.labels);
  }

  const Clip& clip_;
  CaptionWriter writer_;
  HeldOutOptions options_;
  std::vector<Drawing> drawings_;
  std::vector<at::Tensor> globals_;
  std::map<std::string, at::Tensor> directions_;
  Scored qk_, vv_;
  HeldOutReport report_;
};

}  // namespace

double auroc_standard_error(double auroc, std::int64_t positives, std::int64_t negatives) {
  const auto p = static_cast<double>(positives), n = static_cast<double>(negatives);
  const double q1 = auroc / (2.0 - auroc), q2 = 2.0 * auroc * auroc / (1.0 + auroc);
  return std::sqrt((auroc * (1.0 - auroc) + (p - 1.0) * (q1 - auroc * auroc) +
                    (n - 1.0) * (q2 - auroc * auroc)) /
                   (p * n));
}

HeldOutReport evaluate_held_out(const Clip& clip,
                                const Tokenizer& tokenizer,
                                const HeldOutOptions& options) {
  const at::NoGradGuard no_grad;
  return Evaluation(clip, tokenizer, options).run();
}

std::string to_text(const HeldOutReport& r) {
  double mean = 0.0;
  std::string kinds, worst;
  double lowest = 2.0;
  for (const auto& [kind, value] : r.by_kind) {
    mean += value / static_cast<double>(r.by_kind.size());
    kinds += fmt::format(" {} {:.3f}", kind, value);
    if (value < lowest) {
      lowest = value;
      worst = kind;
    }
  }
  std::string categories;
  for (const auto& [category, value] : r.by_category) {
    categories += fmt::format(" {} {:.3f}", category, value);
  }
  return fmt::format(
      "retrieval top-1 of 64: {:.4f} ({} images, {:.1f} x chance)\n"
      "image AUROC: {:.4f}, 95 % lower bound {:.4f} (Hanley and McNeil)\n"
      "  mean over kinds {:.4f}, worst kind {} {:.4f}\n  kinds:{}\n  categories:{}\n"
      "patch AUROC on defective drawings: qk {:.4f}, vv {:.4f}\n",
      r.retrieval, r.retrieved, r.retrieval * 64.0, r.auroc, r.auroc_low, mean, worst, lowest,
      kinds, categories, r.patch_auroc_qk, r.patch_auroc_vv);
}

}  // namespace assay
