#pragma once

#include "registry/clip.h"
#include "tools/pretrain/captions.h"

#include <cstdint>
#include <map>
#include <string>

namespace assay {

/// The fixed held-out list: drawings of categories and with defect kinds that pretraining never
/// draws, half of them flawless.
struct HeldOutOptions {
  std::uint64_t seed = 20240521;
  std::int64_t size = 2000;       ///< Drawings; kinds in equal shares.
  std::int64_t image_size = 128;  ///< Pixels.
  DrawingPool pool = DrawingPool::kHeldOut;
};

/// What a backbone knows of the held-out list. AUROCs are fractions.
struct HeldOutReport {
  double retrieval = 0.0;      ///< Top-1 among 64 distinct captions; chance is 1 / 64.
  std::int64_t retrieved = 0;  ///< Images in whole groups of 64.
  double auroc = 0.0;          ///< Raw CLIP: `A photo of a normal [cls]`, `... an anomalous [cls]`.
  double auroc_low = 0.0;      ///< Lower end of its 95 % interval.
  std::map<std::string, double> by_kind;  ///< Each kind against all flawless drawings.
  std::map<std::string, double> by_category;
  double patch_auroc_qk = 0.0, patch_auroc_vv = 0.0;  ///< Patches of the defective drawings.
};

/// `auroc_low` is Hanley and McNeil's (Radiology 143, 1982): AUROC - 1.96 SE.
[[nodiscard]] HeldOutReport evaluate_held_out(const Clip& clip,
                                              const Tokenizer& tokenizer,
                                              const HeldOutOptions& options);

/// Hanley and McNeil's standard error of an AUROC from as many positives and negatives.
[[nodiscard]] double auroc_standard_error(double auroc,
                                          std::int64_t positives,
                                          std::int64_t negatives);

/// As lines that a person reads.
[[nodiscard]] std::string to_text(const HeldOutReport& report);

}  // namespace assay
