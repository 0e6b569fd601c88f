#pragma once

#include "core/random.h"

#include <cmath>
#include <cstdint>
#include <string_view>

namespace assay {

/// Draws of a RandomStream one after the other: what draws a scene takes them in a fixed order.
class Draws {
 public:
  Draws(std::uint64_t seed, std::string_view purpose) : stream_(seed, purpose) {}

  /// Uniform in [low, high).
  float range(float low, float high) {
    return low + (high - low) * static_cast<float>(stream_.uniform(next_++));
  }
  /// Uniform in 0 .. bound - 1.
  int below(int bound) {
    return static_cast<int>(stream_.below(next_++, static_cast<std::uint64_t>(bound)));
  }
  bool chance(float probability) { return range(0.0F, 1.0F) < probability; }
  float sign() { return chance(0.5F) ? 1.0F : -1.0F; }
  float angle() { return range(0.0F, 6.2831853F); }
  std::uint32_t seed() { return static_cast<std::uint32_t>(stream_.bits(next_++)); }

 private:
  RandomStream stream_;
  std::uint64_t next_ = 0;
};

/// Hash of a lattice point (the finaliser of MurmurHash3 over a linear mix).
inline std::uint32_t lattice_hash(int x, int y, std::uint32_t seed) {
  std::uint32_t h = static_cast<std::uint32_t>(x) * 0x9E3779B1U ^
                    static_cast<std::uint32_t>(y) * 0x85EBCA77U ^ seed * 0xC2B2AE3DU;
  h ^= h >> 16;
  h *= 0x85EBCA6BU;
  h ^= h >> 13;
  h *= 0xC2B2AE35U;
  return h ^ (h >> 16);
}

/// The same as a number in [0, 1).
inline float lattice_value(int x, int y, std::uint32_t seed) {
  return static_cast<float>(lattice_hash(x, y, seed) >> 8) * (1.0F / 16777216.0F);
}

inline int floor_int(float x) {
  const int truncated = static_cast<int>(x);
  return truncated - (x < static_cast<float>(truncated) ? 1 : 0);
}

/// x - floor(x).
inline float fraction(float x) { return x - static_cast<float>(floor_int(x)); }

inline float clamp01(float x) { return x < 0.0F ? 0.0F : (x > 1.0F ? 1.0F : x); }

/// 0 below `low`, 1 above `high`, a cubic between.
inline float smooth_step(float low, float high, float x) {
  const float t = clamp01((x - low) / (high - low));
  return t * t * (3.0F - 2.0F * t);
}

/// Value noise in [0, 1], one cell a unit.
inline float value_noise(float x, float y, std::uint32_t seed) {
  const int ix = floor_int(x), iy = floor_int(y);
  float fx = x - static_cast<float>(ix), fy = y - static_cast<float>(iy);
  fx = fx * fx * (3.0F - 2.0F * fx);
  fy = fy * fy * (3.0F - 2.0F * fy);
  const float a = lattice_value(ix, iy, seed), b = lattice_value(ix + 1, iy, seed);
  const float c = lattice_value(ix, iy + 1, seed), d = lattice_value(ix + 1, iy + 1, seed);
  return (a + (b - a) * fx) * (1.0F - fy) + (c + (d - c) * fx) * fy;
}

/// Value noise of several octaves, each of half the size and weight, in [0, 1].
inline float fractal_noise(float x, float y, std::uint32_t seed, int octaves) {
  float sum = 0.0F, weight = 1.0F, total = 0.0F;
  for (int i = 0; i < octaves; ++i) {
    sum += weight * value_noise(x, y, seed + static_cast<std::uint32_t>(i));
    total += weight;
    weight *= 0.5F;
    x *= 2.0F;
    y *= 2.0F;
  }
  return sum / total;
}

/// Distances to the nearest and the second nearest of one random point a unit cell (Worley, 1996),
/// and a number in [0, 1) of the nearest.
struct CellDistances {
  float nearest, second, id;
};
inline CellDistances cell_noise(float x, float y, std::uint32_t seed) {
  const int ix = floor_int(x), iy = floor_int(y);
  CellDistances best{9.0F, 9.0F, 0.0F};
  for (int j = -1; j <= 1; ++j) {
    for (int i = -1; i <= 1; ++i) {
      const std::uint32_t h = lattice_hash(ix + i, iy + j, seed);
      const float px = static_cast<float>(ix + i) + 0.1F + static_cast<float>(h & 1023U) / 1280.0F;
      const float py =
          static_cast<float>(iy + j) + 0.1F + static_cast<float>((h >> 10) & 1023U) / 1280.0F;
      const float d = (px - x) * (px - x) + (py - y) * (py - y);
      if (d < best.nearest) {
        best.second = best.nearest;
        best.nearest = d;
        best.id = static_cast<float>(h >> 20) / 4096.0F;
      } else if (d < best.second) {
        best.second = d;
      }
    }
  }
  best.nearest = std::sqrt(best.nearest);
  best.second = std::sqrt(best.second);
  return best;
}

}  // namespace assay
