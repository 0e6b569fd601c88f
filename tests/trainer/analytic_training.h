#pragma once

#include "registry/method.h"
#include "trainer/train.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace assay {

/// A method small enough to check by hand, with every kind of parameter that a real one has:
/// `direct` acts on images, `shared` through a shared term, `image_free` through the loss alone,
/// `unused` nowhere. On features x [7] and label y of an image
///
///   s = |direct x|^2 / 8 + shared_term . x,   shared_term = tanh(shared),
///   loss = sum (s - y)^2 / n + 1 - (2 sum s y + 1) / (sum s^2 + sum y + 1) + |image_free|^2
class AnalyticMethod final : public Method {
 public:
  explicit AnalyticMethod(std::uint64_t seed);

  [[nodiscard]] const NamedTensors& parameters() const override { return parameters_; }
  [[nodiscard]] std::vector<at::Tensor> shared_terms() const override;
  [[nodiscard]] const std::vector<std::string>& term_names() const override { return names_; }
  [[nodiscard]] at::Tensor terms(std::span<const at::Tensor> shared,
                                 const Batch& batch) const override;
  [[nodiscard]] at::Tensor loss(const at::Tensor& totals,
                                std::span<const at::Tensor> shared) const override;
  void prepare_inference() override {}
  [[nodiscard]] Prediction predict(const Batch& batch) const override;

 private:
  NamedTensors parameters_;
  std::vector<std::string> names_ = {"squared_error", "overlap", "mass", "abnormal", "images"};
};

/// Random features [7] and labels, each image a function of its index.
class AnalyticSource final : public BatchSource {
 public:
  explicit AnalyticSource(std::int64_t size) : size_(size) {}
  [[nodiscard]] std::int64_t size() const override { return size_; }
  [[nodiscard]] Batch load(std::span<const std::int64_t> indices) const override;
  [[nodiscard]] std::string describe(std::int64_t index) const override;

  std::int64_t nan_image = -1;         ///< Its features are NaN.
  std::int64_t zero_image = -1;        ///< Its features are 0.
  std::int64_t unreadable_image = -1;  ///< Loading it throws DataError.

 private:
  std::int64_t size_;
};

/// SHA-256 of the values of all parameters, in their order.
[[nodiscard]] std::string digest_of_parameters(const Method& method);

}  // namespace assay
