#pragma once

#include "datasets/mask_runs.h"
#include "registry/clip.h"
#include "registry/tokenizer.h"
#include "runner/compute_device.h"
#include "runner/feature_set.h"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace assay {

/// The few things used last, by key. Values are shared: a job may still hold what is put out.
template <typename T>
class RecentlyUsed {
 public:
  explicit RecentlyUsed(std::size_t capacity) : capacity_(capacity) {}

  /// The value of `key`, made by `make` where it is not there.
  std::shared_ptr<const T> get(const std::string& key, const std::function<T()>& make) {
    const auto found =
        std::ranges::find_if(entries_, [&](const auto& entry) { return entry.first == key; });
    if (found != entries_.end()) {
      entries_.splice(entries_.begin(), entries_, found);
    } else {
      // Make room first: two backbones may not fit.
      while (entries_.size() >= capacity_) entries_.pop_back();
      entries_.emplace_front(key, std::make_shared<const T>(make()));
    }
    return entries_.front().second;
  }

 private:
  std::size_t capacity_;
  std::list<std::pair<std::string, std::shared_ptr<const T>>> entries_;
};

/// What a gang's rank keeps from job to job (`design.md` 3).
struct Loaded {
  ComputeDevice device;  ///< Of this rank, from its start.
  RecentlyUsed<Clip> clips{1};
  RecentlyUsed<Tokenizer> tokenizers{1};
  RecentlyUsed<FeatureSet> features{8};
  RecentlyUsed<std::vector<MaskRuns>> masks{4};
};

}  // namespace assay
