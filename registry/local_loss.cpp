#include "registry/local_loss.h"

#include "registry/local_loss_kernel.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <stdexcept>

namespace assay {
namespace {

std::int64_t checked_grid(const at::Tensor& probability, const at::Tensor& masks) {
  const bool shapes = probability.dim() == 2 && masks.dim() == 3 &&
                      probability.size(0) == masks.size(0) && masks.size(1) == masks.size(2);
  const std::int64_t grid =
      shapes ? std::llround(std::sqrt(static_cast<double>(probability.size(1)))) : 0;
  if (!shapes || grid == 0 || grid * grid != probability.size(1) ||
      probability.scalar_type() != at::kFloat || masks.scalar_type() != at::kByte) {
    throw std::invalid_argument(
        fmt::format("local_sums: {} [{}] and {} [{}], expected Float [B, g * g] and Byte [B, S, S]",
                    c10::toString(probability.scalar_type()), fmt::join(probability.sizes(), ", "),
                    c10::toString(masks.scalar_type()), fmt::join(masks.sizes(), ", ")));
  }
  return grid;
}

class LocalSums : public torch::autograd::Function<LocalSums> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context,
                            const at::Tensor& probability,
                            const at::Tensor& masks,
                            LocalLosses losses) {
    const std::int64_t grid = checked_grid(probability, masks);
    const std::int64_t batch = masks.size(0), size = masks.size(1);
    const double pixels = static_cast<double>(size * size);
    const at::Tensor patches = probability.contiguous(), bytes = masks.contiguous();
    at::Tensor sums = at::empty({batch, kLocalSums}, at::kDouble);
    const bool differentiable = probability.requires_grad();
    at::Tensor d_focal, d_overlap;
    if (differentiable && losses.focal) d_focal = at::empty_like(patches);
    if (differentiable && losses.dice) d_overlap = at::empty_like(patches);
    const auto of_image_at = [](const at::Tensor& derivatives, std::int64_t at) {
      return derivatives.defined() ? derivatives.data_ptr<float>() + at : nullptr;
    };
    const BilinearAxis axis(grid, size);
    LocalLossKernel kernel(axis, losses.focal, losses.dice);
    for (std::int64_t image = 0; image < batch; ++image) {
      const std::int64_t at = image * grid * grid;
      const PixelSums of_image = kernel(patches.data_ptr<float>() + at,
                                        bytes.data_ptr<std::uint8_t>() + image * size * size,
                                        of_image_at(d_focal, at), of_image_at(d_overlap, at));
      double* row = sums.data_ptr<double>() + image * kLocalSums;
      row[kFocal] = of_image.focal / pixels;
      row[kAbnormal] = of_image.abnormal;
      row[kOverlap] = of_image.overlap;
      row[kMask] = of_image.mask;
    }
    if (d_focal.defined()) d_focal = d_focal / pixels;
    context->save_for_backward({d_focal, at::tensor(kernel.d_abnormal()).unsqueeze(0), d_overlap});
    return sums;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor outer = gradients[0].to(at::kFloat);  // [B, 4]
    at::Tensor gradient;
    if (saved[0].defined()) gradient = outer.narrow(1, kFocal, 1) * saved[0];
    if (saved[2].defined()) {
      const at::Tensor abnormal = outer.narrow(1, kAbnormal, 1) * saved[1];
      gradient = (gradient.defined() ? gradient + abnormal : abnormal) +
                 outer.narrow(1, kOverlap, 1) * saved[2];
    }
    return {gradient, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor local_sums(const at::Tensor& probability, const at::Tensor& masks, LocalLosses losses) {
  return probability.is_cpu() ? LocalSums::apply(probability, masks, losses)
                              : local_sums_of_maps(probability, masks, losses);
}

at::Tensor local_sums_of_maps(const at::Tensor& probability,
                              const at::Tensor& masks,
                              LocalLosses losses) {
  const std::int64_t grid = checked_grid(probability, masks);
  const std::int64_t batch = masks.size(0), size = masks.size(1);
  const at::Tensor map =  // [B, S, S]
      at::upsample_bilinear2d(probability.view({batch, 1, grid, grid}), {size, size},
                              /*align_corners=*/false)
          .squeeze(1);
  const at::Tensor truth = masks.to(at::kFloat);
  const auto sum = [](const at::Tensor& values) {
    return values.sum({1, 2}, /*keepdim=*/false, at::kDouble);
  };
  std::vector<at::Tensor> sums(kLocalSums, at::zeros({batch}, map.options().dtype(at::kDouble)));
  if (losses.focal) {
    const at::Tensor rest = (1 - 2e-5) * (truth - map).abs();  // 1 - p_t
    const double pixels = static_cast<double>(size * size);
    sums[kFocal] = sum(-rest.square() * at::log1p(-rest)) / pixels;
  }
  if (losses.dice) {
    sums[kAbnormal] = sum(map);
    sums[kOverlap] = sum(truth * map);
    sums[kMask] = sum(truth);
  }
  return at::stack(sums, 1);
}

}  // namespace assay
