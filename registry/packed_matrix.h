#pragma once

#include <cstdint>
#include <memory>
#include <new>

namespace assay {

/// A constant matrix P [k, n] laid out for products with few rows: panels of 16 columns, each k x
/// 16 numbers in a row, as the inner loop reads them. n is a multiple of 16.
///
/// Where half precision has every number exactly, as it has those of OpenAI's weights, they are
/// kept in it and widened in the inner loop: the same bits from half the memory, whose reading is
/// what limits products of 33 rows.
///
/// For training prompts through a frozen tower: a shard's product has some 100 rows, of which a
/// library spends a fifth on packing the weights, every time. And a row of the result never depends
/// on how many rows or threads there are: it is summed over k from the first to the last, in blocks
/// of `kDepth`, by fused multiply-adds. AVX2, F16C.
class PackedMatrix {
 public:
  static constexpr std::int64_t kColumns = 16, kDepth = 768;

  /// Copies element (i, j), which is `from[i * row_stride + j * column_stride]`. Throws
  /// std::invalid_argument where n is not a multiple of 16.
  PackedMatrix(const float* from,
               std::int64_t k,
               std::int64_t n,
               std::int64_t row_stride,
               std::int64_t column_stride);

  /// Whether it is kept in half precision.
  [[nodiscard]] bool is_half() const { return halves_ != nullptr; }
  [[nodiscard]] std::int64_t rows() const { return k_; }
  [[nodiscard]] std::int64_t columns() const { return n_; }

  /// Columns [16 first, 16 last) of C = A P + bias: A is [m, k], C [m, n], both row-major without
  /// gaps; `bias` is [n], or null.
  void multiply(const float* a,
                std::int64_t m,
                const float* bias,
                float* c,
                std::int64_t first_panel,
                std::int64_t last_panel) const;

 private:
  struct Free {
    void operator()(void* values) const { ::operator delete[](values, std::align_val_t(64)); }
  };
  template <typename Number>
  void multiply_panels(const Number* values,
                       const float* a,
                       std::int64_t m,
                       float* c,
                       std::int64_t first_panel,
                       std::int64_t last_panel) const;

  std::int64_t k_, n_;
  // [n / 16, k, 16], one of the two.
  std::unique_ptr<float[], Free> floats_;
  std::unique_ptr<std::uint16_t[], Free> halves_;
};

}  // namespace assay
