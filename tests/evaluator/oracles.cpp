#include "tests/evaluator/oracles.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace assay::oracle {
namespace {

std::vector<int> label(const Labels& mask, int height, int width, int connectivity) {
  std::vector<int> regions(mask.size(), -1);
  int num_regions = 0;
  for (int start = 0; start < height * width; ++start) {
    if (mask[start] == 0 || regions[start] >= 0) continue;
    std::vector<int> stack = {start};
    regions[start] = num_regions;
    while (!stack.empty()) {
      const int pixel = stack.back();
      stack.pop_back();
      for (int dy = -1; dy <= 1; ++dy) {
        for (int dx = -1; dx <= 1; ++dx) {
          if (connectivity == 4 && dx != 0 && dy != 0) continue;
          const int y = pixel / width + dy, x = pixel % width + dx;
          if (y < 0 || y >= height || x < 0 || x >= width) continue;
          const int neighbour = y * width + x;
          if (mask[neighbour] == 0 || regions[neighbour] >= 0) continue;
          regions[neighbour] = num_regions;
          stack.push_back(neighbour);
        }
      }
    }
    ++num_regions;
  }
  return regions;
}

std::vector<float> thresholds_descending(const Scores& scores) {
  const std::set<float> distinct(scores.begin(), scores.end());
  return {distinct.rbegin(), distinct.rend()};
}

struct Confusion {
  double true_positives = 0, false_positives = 0, anomalous = 0;
};

Confusion confusion(const Scores& scores, const Labels& labels, float threshold) {
  Confusion counts;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (labels[i] != 0) ++counts.anomalous;
    if (scores[i] < threshold) continue;
    if (labels[i] != 0)
      ++counts.true_positives;
    else
      ++counts.false_positives;
  }
  return counts;
}

// FPR and PRO of a decision.
template <typename Decide>
std::pair<double, double> fpr_and_pro(const std::vector<PixelImage>& images,
                                      int connectivity,
                                      Decide is_positive) {
  double normal = 0, false_positive = 0, num_regions = 0, covered_sum = 0;
  for (const PixelImage& image : images) {
    const std::vector<int> regions = label(image.mask, image.height, image.width, connectivity);
    std::vector<double> area, covered;
    for (std::size_t i = 0; i < regions.size(); ++i) {
      const double positive = is_positive(image.scores[i]) ? 1 : 0;
      if (regions[i] < 0) {
        ++normal;
        false_positive += positive;
        continue;
      }
      area.resize(std::max<std::size_t>(area.size(), regions[i] + 1));
      covered.resize(area.size());
      ++area[regions[i]];
      covered[regions[i]] += positive;
    }
    for (std::size_t r = 0; r < area.size(); ++r) covered_sum += covered[r] / area[r];
    num_regions += static_cast<double>(area.size());
  }
  return {false_positive / normal, covered_sum / num_regions};
}

}  // namespace

MaskRuns flood_fill(const Labels& mask, std::int32_t height, std::int32_t width, int connectivity) {
  MaskRuns runs{.height = height, .width = width, .runs = {}, .areas = {}};
  const std::vector<int> regions = label(mask, height, width, connectivity);
  for (std::int32_t i = 0; i < height * width; ++i) {
    if (regions[i] < 0) continue;
    const std::int32_t row = i / width, column = i % width;
    if (column > 0 && regions[i - 1] >= 0) {
      runs.runs.back().last = column;
    } else {
      runs.runs.push_back({row, column, column, regions[i]});
    }
    runs.areas.resize(std::max<std::size_t>(runs.areas.size(), regions[i] + 1));
    ++runs.areas[regions[i]];
  }
  return runs;
}

double auroc_by_pairs(const Scores& scores, const Labels& labels) {
  double wins = 0, pairs = 0;
  for (std::size_t a = 0; a < scores.size(); ++a) {
    for (std::size_t n = 0; n < scores.size(); ++n) {
      if (labels[a] == 0 || labels[n] != 0) continue;
      ++pairs;
      wins += scores[a] > scores[n] ? 1 : scores[a] == scores[n] ? 0.5 : 0;
    }
  }
  return wins / pairs;
}

double ap_by_thresholds(const Scores& scores, const Labels& labels) {
  double ap = 0, recall = 0;
  for (const float threshold : thresholds_descending(scores)) {
    const Confusion at = confusion(scores, labels, threshold);
    const double next_recall = at.true_positives / at.anomalous;
    ap += (next_recall - recall) * at.true_positives / (at.true_positives + at.false_positives);
    recall = next_recall;
  }
  return ap;
}

double f1max_by_thresholds(const Scores& scores, const Labels& labels) {
  double best = 0;
  for (const float threshold : thresholds_descending(scores)) {
    const Confusion at = confusion(scores, labels, threshold);
    best = std::max(
        best, 2 * at.true_positives / (at.anomalous + at.true_positives + at.false_positives));
  }
  return best;
}

double aupro_by_thresholds(const std::vector<PixelImage>& images, double limit, int connectivity) {
  double area = 0, fpr = 0, pro = 0;
  for (const float threshold : thresholds_descending(pooled(images).scores)) {
    const auto [next_fpr, next_pro] =
        fpr_and_pro(images, connectivity, [&](float score) { return score >= threshold; });
    if (next_fpr >= limit) {
      const double share = next_fpr > fpr ? (limit - fpr) / (next_fpr - fpr) : 0;
      const double cut_pro = pro + share * (next_pro - pro);
      return (area + (limit - fpr) * (pro + cut_pro) / 2) / limit;
    }
    area += (next_fpr - fpr) * (pro + next_pro) / 2;
    fpr = next_fpr;
    pro = next_pro;
  }
  return area / limit;
}

std::optional<double> cflow200_literal(const std::vector<PixelImage>& images) {
  const Scores all = pooled(images).scores;
  const float lowest = *std::min_element(all.begin(), all.end());
  const float highest = *std::max_element(all.begin(), all.end());
  if (lowest == highest || !std::isfinite(highest - lowest)) return {};
  const double delta = static_cast<double>(highest - lowest) / 200;
  const double second = static_cast<double>(lowest) + delta;
  const int count = static_cast<int>(std::ceil(static_cast<double>(highest - lowest) / delta));
  std::vector<double> fprs, pros;
  for (int k = 0; k < count; ++k) {
    const auto threshold = static_cast<float>(static_cast<double>(lowest) +
                                              k * (second - static_cast<double>(lowest)));
    const auto [fpr, pro] = fpr_and_pro(images, 8, [&](float score) { return score > threshold; });
    if (fpr < 0.3) {
      fprs.push_back(fpr);
      pros.push_back(pro);
    }
  }
  if (fprs.size() < 2) return {};
  const auto [low, high] = std::minmax_element(fprs.begin(), fprs.end());
  if (*low == *high) return {};
  double area = 0;
  for (std::size_t i = 1; i < fprs.size(); ++i) {
    area += (fprs[i - 1] - fprs[i]) / (*high - *low) * (pros[i] + pros[i - 1]) / 2;
  }
  return area;
}

PixelImage pooled(const std::vector<PixelImage>& images) {
  PixelImage all;
  for (const PixelImage& image : images) {
    all.scores.insert(all.scores.end(), image.scores.begin(), image.scores.end());
    all.mask.insert(all.mask.end(), image.mask.begin(), image.mask.end());
  }
  return all;
}

}  // namespace assay::oracle
