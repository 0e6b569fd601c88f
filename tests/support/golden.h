#pragma once

#include "registry/clip.h"

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace assay {

/// One file of golden tensors: results of a method's released code (or of a float64 program written
/// from the specification) on weights, prompts and images that a formula gives.
struct GoldenFile {
  std::filesystem::path path;
  std::string kind;         ///< Method, or `text`, `resize`, `metrics`.
  std::string case_name;    ///< Prefix of the generator's names.
  nlohmann::json config;    ///< Sizes and hyper-parameters.
  nlohmann::json switches;  ///< Of the method; null in files of released code.
  SafeTensors content;      ///< Tensors only where the file was loaded.

  [[nodiscard]] std::int64_t size(const char* key) const { return config.at(key); }
  /// Throws where the file has no such tensor.
  [[nodiscard]] const at::Tensor& tensor(const std::string& name) const;
  [[nodiscard]] bool has(const std::string& name) const { return content.tensors.contains(name); }
};

/// Paths of the `.safetensors` files in tests/data/golden and in the folder named by
/// ASSAY_GOLDEN_DIR (a name in both is read once, from the latter), of one kind or, for "", of all.
[[nodiscard]] std::vector<std::filesystem::path> golden_files(const std::string& kind = "");

/// The file `name` in one of the two folders, or an empty path.
[[nodiscard]] std::filesystem::path golden_path(const std::string& name);

[[nodiscard]] GoldenFile load_golden(const std::filesystem::path& path);

/// Name of a test parameter: the file's name without what GoogleTest does not allow.
[[nodiscard]] std::string golden_name(
    const ::testing::TestParamInfo<std::filesystem::path>& parameter);

// The generator ("The generator" in tests/data/golden/README.md).

/// u in [-1, 1) of the tensor `name` in `case_name`: float64 of `shape`, each value exact in
/// float32.
[[nodiscard]] at::Tensor golden_uniform(const std::string& case_name,
                                        const std::string& name,
                                        at::IntArrayRef shape);

/// The upper 5 or 6 bits of z that images are made from: int64 z >> `shift`.
[[nodiscard]] at::Tensor golden_bits(const std::string& case_name,
                                     const std::string& name,
                                     at::IntArrayRef shape,
                                     int shift);

/// Weights of a whole CLIP, float32.
[[nodiscard]] TensorMap golden_clip(const std::string& case_name, const ClipSizes& sizes);
/// Sizes from a file's `config`.
[[nodiscard]] ClipSizes golden_sizes(const GoldenFile& file);

/// The prompt parameter `prompt.<parameter>`: float32(u) * float32(factor).
[[nodiscard]] at::Tensor golden_prompt(const std::string& case_name,
                                       const std::string& parameter,
                                       at::IntArrayRef shape,
                                       double factor);

/// Images: uint8 [B, 3, S, S], and normalised as CLIP wants them, float32.
[[nodiscard]] at::Tensor golden_image_bytes(const std::string& case_name,
                                            std::int64_t batch,
                                            std::int64_t size);
[[nodiscard]] at::Tensor normalise_images(const at::Tensor& bytes);

// Comparison.

/// Largest difference as a fraction of the largest entry of `expected`; infinite where shapes
/// differ or a value is not finite.
[[nodiscard]] double largest_difference(const at::Tensor& actual, const at::Tensor& expected);
/// Fraction of entries that differ by more than `tolerance` times the largest entry.
[[nodiscard]] double fraction_off(const at::Tensor& actual,
                                  const at::Tensor& expected,
                                  double tolerance);

/// Expects `largest_difference` to the tensor `name` of the file to be at most `tolerance`. The
/// program prints a row for each file when it ends: the largest of its forward values and losses,
/// of its gradients and of its parameters after the steps, and where.
void expect_golden(const GoldenFile& file,
                   const std::string& name,
                   const at::Tensor& actual,
                   double tolerance);

/// Tolerances of tests/data/golden/README.md, as fractions of the largest entry.
inline constexpr double kForwardTolerance = 2e-5, kGradientTolerance = 1e-4,
                        kHalfGradientTolerance = 1e-3;

}  // namespace assay
