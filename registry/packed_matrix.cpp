#include "registry/packed_matrix.h"

#include <fmt/format.h>
#include <immintrin.h>

#include <algorithm>
#include <stdexcept>

namespace assay {
namespace {

using Half = std::uint16_t;  // IEEE binary16, as F16C takes it.

// As many rows as registers allow: 12 of 16 hold sums.
constexpr int kRows = 6;

__m256 load(const float* from) { return _mm256_load_ps(from); }
__m256 load(const Half* from) {
  return _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(from)));
}

// What a tile fetches for those of the next panel, which is read once, from beyond the caches: row
// x * step / 2^16 of `first` beside row x of its own.
template <typename Number>
struct Ahead {
  const Number* first;
  std::int64_t step;
};

// kCount rows and 16 columns of C += A P over `depth` of the k: `a` with rows `k` apart, `panel`
// [depth, 16], `c` with rows `n` apart. All loops over rows are unrolled: the sums are registers.
template <typename Number, int kCount>
void multiply_tile(const float* __restrict a,
                   std::int64_t k,
                   const Number* __restrict panel,
                   std::int64_t depth,
                   float* __restrict c,
                   std::int64_t n,
                   Ahead<Number> ahead) {
  __m256 left[kCount], right[kCount];
#pragma GCC unroll 6
  for (int row = 0; row < kCount; ++row) {
    left[row] = _mm256_loadu_ps(c + row * n);
    right[row] = _mm256_loadu_ps(c + row * n + 8);
  }
  for (std::int64_t x = 0; x < depth; ++x) {
    const Number* next = panel + x * PackedMatrix::kColumns;
    const __m256 p = load(next), q = load(next + 8);
    __builtin_prefetch(ahead.first + ((x * ahead.step) >> 16) * PackedMatrix::kColumns);
#pragma GCC unroll 6
    for (int row = 0; row < kCount; ++row) {
      const __m256 value = _mm256_broadcast_ss(a + row * k + x);
      left[row] = _mm256_fmadd_ps(value, p, left[row]);
      right[row] = _mm256_fmadd_ps(value, q, right[row]);
    }
  }
#pragma GCC unroll 6
  for (int row = 0; row < kCount; ++row) {
    _mm256_storeu_ps(c + row * n, left[row]);
    _mm256_storeu_ps(c + row * n + 8, right[row]);
  }
}

template <typename Number>
using Tile = void (*)(
    const float*, std::int64_t, const Number*, std::int64_t, float*, std::int64_t, Ahead<Number>);
template <typename Number>
constexpr Tile<Number> kTiles[] = {nullptr,
                                   multiply_tile<Number, 1>,
                                   multiply_tile<Number, 2>,
                                   multiply_tile<Number, 3>,
                                   multiply_tile<Number, 4>,
                                   multiply_tile<Number, 5>,
                                   multiply_tile<Number, kRows>};

template <typename Number>
Number* allocate(std::int64_t count) {
  return new (std::align_val_t(64)) Number[static_cast<std::size_t>(count)];
}

// All of `from` in half precision, a multiple of 8; false where that is not exact.
bool narrow(const float* from, std::int64_t count, Half* to) {
  for (std::int64_t i = 0; i < count; i += 8) {
    const __m256 values = load(from + i);
    const __m128i halves = _mm256_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT);
    const __m256 differ = _mm256_cmp_ps(_mm256_cvtph_ps(halves), values, _CMP_NEQ_UQ);
    if (_mm256_movemask_ps(differ) != 0) return false;
    _mm_store_si128(reinterpret_cast<__m128i*>(to + i), halves);
  }
  return true;
}

}  // namespace

PackedMatrix::PackedMatrix(const float* from,
                           std::int64_t k,
                           std::int64_t n,
                           std::int64_t row_stride,
                           std::int64_t column_stride)
    : k_(k), n_(n) {
  if (n % kColumns != 0) {
    throw std::invalid_argument(
        fmt::format("a packed matrix of {} columns, expected a multiple of {}", n, kColumns));
  }
  floats_.reset(allocate<float>(k * n));
  float* to = floats_.get();
  for (std::int64_t panel = 0; panel < n; panel += kColumns) {
    for (std::int64_t i = 0; i < k; ++i) {
      for (std::int64_t j = panel; j < panel + kColumns; ++j) {
        *to++ = from[i * row_stride + j * column_stride];
      }
    }
  }
  halves_.reset(allocate<Half>(k * n));
  if (narrow(floats_.get(), k * n, halves_.get())) {
    floats_.reset();
  } else {
    halves_.reset();
  }
}

void PackedMatrix::multiply(const float* a,
                            std::int64_t m,
                            const float* bias,
                            float* c,
                            std::int64_t first_panel,
                            std::int64_t last_panel) const {
  for (std::int64_t row = 0; row < m; ++row) {
    float* to = c + row * n_ + first_panel * kColumns;
    const std::int64_t count = (last_panel - first_panel) * kColumns;
    if (bias == nullptr) {
      std::fill_n(to, count, 0.0F);
    } else {
      std::copy_n(bias + first_panel * kColumns, count, to);
    }
  }
  if (halves_) {
    multiply_panels(halves_.get(), a, m, c, first_panel, last_panel);
  } else {
    multiply_panels(floats_.get(), a, m, c, first_panel, last_panel);
  }
}

template <typename Number>
void PackedMatrix::multiply_panels(const Number* values,
                                   const float* a,
                                   std::int64_t m,
                                   float* c,
                                   std::int64_t first_panel,
                                   std::int64_t last_panel) const {
  const std::int64_t tiles = (m + kRows - 1) / kRows;
  for (std::int64_t from = 0; from < k_; from += kDepth) {
    const std::int64_t depth = std::min(kDepth, k_ - from);
    for (std::int64_t panel = first_panel; panel < last_panel; ++panel) {
      const std::int64_t column = panel * kColumns;
      const Number* own = values + column * k_ + from * kColumns;
      const Number* next = panel + 1 < last_panel ? own + kColumns * k_ : own;
      for (std::int64_t tile = 0; tile < tiles; ++tile) {
        const std::int64_t row = tile * kRows;
        kTiles<Number>[std::min<std::int64_t>(kRows, m - row)](
            a + row * k_ + from, k_, own, depth, c + row * n_ + column, n_,
            {next + tile * depth / tiles * kColumns, (std::int64_t{1} << 16) / tiles});
      }
    }
  }
}

}  // namespace assay
