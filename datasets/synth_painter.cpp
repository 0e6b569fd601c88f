#include "datasets/synth_painter.h"

#include <algorithm>

namespace assay {
namespace {

class Painter {
 public:
  Painter(const Scene& scene, const Defect* defect, int size)
      : s_(scene),
        defect_(defect),
        canvas_(size),
        pixel_(2.0F * scene.view / static_cast<float>(size)) {}

  Canvas paint() {
    if (s_.category->is_object) {
      paint_background();
      paint_object();
    } else {
      paint_texture();
    }
    if (defect_ != nullptr) {
      for (const Layer& layer : defect_->layers) paint_layer(layer);
    }
    return std::move(canvas_);
  }

 private:
  [[nodiscard]] float x_of(int column) const {
    return s_.view_x - s_.view + (static_cast<float>(column) + 0.5F) * pixel_;
  }
  [[nodiscard]] float y_of(int row) const {
    return s_.view_y - s_.view + (static_cast<float>(row) + 0.5F) * pixel_;
  }
  [[nodiscard]] int index_of(float coordinate, float centre) const {
    const float i = (coordinate - centre + s_.view) / pixel_;
    return static_cast<int>(std::clamp(i, 0.0F, static_cast<float>(canvas_.size)));
  }
  /// Calls f(row, column, x, y) for the pixels within `reach` of a point.
  template <typename F>
  void for_pixels(float x, float y, float reach, F f) {
    const int row_end = std::min(canvas_.size, index_of(y + reach, s_.view_y) + 1);
    const int column_end = std::min(canvas_.size, index_of(x + reach, s_.view_x) + 1);
    for (int row = index_of(y - reach, s_.view_y); row < row_end; ++row) {
      for (int column = index_of(x - reach, s_.view_x); column < column_end; ++column) {
        f(row, column, x_of(column), y_of(row));
      }
    }
  }
  [[nodiscard]] bool warped() const {
    return defect_ != nullptr && defect_->warp.form != Warp::Form::kNone;
  }

  void paint_texture() {
    for_pixels(s_.view_x, s_.view_y, 2.0F * s_.view, [&](int row, int column, float x, float y) {
      if (warped()) apply_warp(defect_->warp, x, y);
      const Tone tone = texture_tone(s_.look, x, y, pixel_);
      const float grain = 0.5F + 0.5F * material_grain(s_.material, x, y, s_.grain);
      canvas_.colour[canvas_.at(row, column)] =
          mix(s_.roles[0], s_.roles[1], tone.mix) * (tone.shade * grain);
    });
  }

  void paint_background() {
    canvas_.behind.resize(canvas_.colour.size());
    std::fill(canvas_.object.begin(), canvas_.object.end(), 0.0F);
    for_pixels(s_.view_x, s_.view_y, 2.0F * s_.view, [&](int row, int column, float x, float y) {
      const Tone tone = texture_tone(s_.background_look, x, y, pixel_);
      canvas_.behind[canvas_.at(row, column)] =
          mix(s_.background, s_.background_second, tone.mix) * tone.shade;
    });
    canvas_.colour = canvas_.behind;
  }

  void paint_object() {
    for (const Part& part : s_.parts) paint_part(part);
  }

  void paint_part(const Part& part) {
    const float c = std::cos(part.angle), s = std::sin(part.angle);
    const float width = pixel_ / s_.scale;  // A pixel in the object's frame.
    const float bevel = 0.07F;
    const float gloss = material_gloss(s_.material);
    // The part's centre in the picture.
    const float cx = s_.x + s_.scale * (s_.cosine * part.x - s_.sine * part.y);
    const float cy = s_.y + s_.scale * (s_.sine * part.x + s_.cosine * part.y);
    const float reach = warped() ? 4.0F : s_.scale * bounding_radius(part) + 2.0F * pixel_;
    // The light in the part's frame.
    const float lx = s_.cosine * s_.light_x + s_.sine * s_.light_y;
    const float ly = -s_.sine * s_.light_x + s_.cosine * s_.light_y;
    const float part_lx = c * lx + s * ly, part_ly = -s * lx + c * ly;
    for_pixels(cx, cy, reach, [&](int row, int column, float x, float y) {
      if (warped()) apply_warp(defect_->warp, x, y);
      const float ix = (x - s_.x) / s_.scale, iy = (y - s_.y) / s_.scale;
      const float ox = s_.cosine * ix + s_.sine * iy, oy = -s_.sine * ix + s_.cosine * iy;
      const float px = c * (ox - part.x) + s * (oy - part.y);
      const float py = -s * (ox - part.x) + c * (oy - part.y);
      const float d = signed_distance(part, px, py);
      const float cover = clamp01(0.5F - d / width);
      if (cover <= 0.0F) return;
      const std::size_t i = canvas_.at(row, column);
      if (part.role == Role::kCut) {
        canvas_.colour[i] = mix(canvas_.colour[i], canvas_.behind[i] * 0.85F, cover);
        canvas_.object[i] *= 1.0F - cover;
        return;
      }
      float shade = material_grain(s_.material, ox, oy, s_.grain);
      if (part.relief != 0.0F && d > -bevel) {
        const float e = 0.01F;
        const float nx = (signed_distance(part, px + e, py) - d) / e;
        const float ny = (signed_distance(part, px, py + e) - d) / e;
        const float facing = nx * part_lx + ny * part_ly;
        shade += part.relief * (0.18F + 0.4F * gloss) * facing * (1.0F + d / bevel);
      } else {
        shade += 0.12F * (ox * lx + oy * ly);
      }
      const Rgb colour = s_.roles[static_cast<int>(part.role)] * std::max(shade, 0.05F);
      canvas_.colour[i] = mix(canvas_.colour[i], colour, cover);
      canvas_.object[i] += (1.0F - canvas_.object[i]) * cover;
    });
  }

  void paint_layer(const Layer& layer) {
    const float reach = layer.form == Layer::Form::kLine
                            ? layer.b + pixel_
                            : 1.6F * std::max(layer.a, layer.b) + layer.c * 0.05F + pixel_;
    Rgb mean;
    if (layer.paint == Paint::kFlatten) mean = mean_colour();
    for_pixels(layer.x, layer.y, reach, [&](int row, int column, float x, float y) {
      const std::size_t i = canvas_.at(row, column);
      float cover = layer_coverage(layer, x, y, pixel_);
      if (cover <= 0.0F) return;
      if (layer.on_object) cover *= canvas_.object[i];
      const float alpha = cover * layer.opacity;
      Rgb& colour = canvas_.colour[i];
      switch (layer.paint) {
        case Paint::kColour: colour = mix(colour, layer.colour, alpha); break;
        case Paint::kMultiply:
          colour =
              mix(colour,
                  {colour.r * layer.colour.r, colour.g * layer.colour.g, colour.b * layer.colour.b},
                  alpha);
          break;
        case Paint::kBackground:
          colour = mix(colour, canvas_.behind.empty() ? layer.colour : canvas_.behind[i], alpha);
          break;
        case Paint::kRelief:
          colour = colour *
                   std::max(0.1F, 1.0F + alpha * layer_relief(layer, x, y, s_.light_x, s_.light_y));
          break;
        case Paint::kFlatten: colour = mix(colour, mean, alpha); break;
      }
    });
  }

  [[nodiscard]] Rgb mean_colour() const {
    double r = 0.0, g = 0.0, b = 0.0;
    for (const Rgb& c : canvas_.colour) {
      r += c.r;
      g += c.g;
      b += c.b;
    }
    const auto n = static_cast<double>(canvas_.colour.size());
    return {static_cast<float>(r / n), static_cast<float>(g / n), static_cast<float>(b / n)};
  }

  const Scene& s_;
  const Defect* defect_;
  Canvas canvas_;
  float pixel_;
};

}  // namespace

Canvas paint(const Scene& scene, const Defect* defect, int size) {
  return Painter(scene, defect, size).paint();
}

std::vector<std::uint8_t> photograph(const Scene& s, const Canvas& canvas) {
  const int n = canvas.size;
  std::vector<Rgb> lit(canvas.colour.size());
  for (int row = 0; row < n; ++row) {
    for (int column = 0; column < n; ++column) {
      const float x = 2.0F * static_cast<float>(column) / static_cast<float>(n) - 1.0F;
      const float y = 2.0F * static_cast<float>(row) / static_cast<float>(n) - 1.0F;
      const std::size_t i = canvas.at(row, column);
      lit[i] = canvas.colour[i] * (s.exposure * (1.0F + s.slope_x * x + s.slope_y * y));
    }
  }
  std::vector<std::uint8_t> bytes(lit.size() * 3);
  const float side = s.blur, middle = 1.0F - 4.0F * s.blur;
  for (int row = 0; row < n; ++row) {
    for (int column = 0; column < n; ++column) {
      const std::size_t i = canvas.at(row, column);
      const Rgb &l = lit[canvas.at(row, std::max(column - 1, 0))],
                &r = lit[canvas.at(row, std::min(column + 1, n - 1))],
                &u = lit[canvas.at(std::max(row - 1, 0), column)],
                &d = lit[canvas.at(std::min(row + 1, n - 1), column)];
      const float out[3] = {middle * lit[i].r + side * (l.r + r.r + u.r + d.r),
                            middle * lit[i].g + side * (l.g + r.g + u.g + d.g),
                            middle * lit[i].b + side * (l.b + r.b + u.b + d.b)};
      for (int channel = 0; channel < 3; ++channel) {
        // The sum of four uniform numbers: near enough to a normal one.
        const std::uint32_t h = lattice_hash(column * 3 + channel, row, s.noise_seed);
        const float noise =
            (static_cast<float>((h & 255U) + ((h >> 8) & 255U) + ((h >> 16) & 255U) + (h >> 24)) -
             510.0F) /
            148.0F;
        const float value = clamp01(out[channel] + s.noise * noise);
        bytes[i * 3 + static_cast<std::size_t>(channel)] =
            static_cast<std::uint8_t>(value * 255.0F + 0.5F);
      }
    }
  }
  return bytes;
}

}  // namespace assay
