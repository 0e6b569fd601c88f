// Not a test: tools/bench.sh runs it. Each time beside that of the literal computation.

#include "registry/local_loss.h"
#include "tests/support/method_step.h"
#include "tests/support/tiny_method.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <ctime>
#include <functional>

namespace {

// CPU seconds of the fastest of `repeats` calls: another process on the core does not count.
double fastest(int repeats, const std::function<void()>& call) {
  double best = 1e30;
  for (int i = 0; i < repeats; ++i) {
    const std::clock_t start = std::clock();
    call();
    best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  return best;
}

at::Tensor literal_sums(const at::Tensor& probability, const at::Tensor& masks, std::int64_t grid) {
  const std::int64_t batch = masks.size(0), size = masks.size(1);
  const at::Tensor abnormal =
      at::upsample_bilinear2d(probability.view({batch, 1, grid, grid}), {size, size}, false)
          .squeeze(1);
  const at::Tensor truth = masks.to(at::kFloat), soft = at::clamp(truth, 1e-5, 1 - 1e-5);
  const at::Tensor pt = soft * abnormal + (1 - soft) * (1 - abnormal) + 1e-5;
  return at::stack({(-(1 - pt).square() * pt.log()).mean({1, 2}), abnormal.sum({1, 2}),
                    (abnormal * truth).sum({1, 2})},
                   1);
}

void bench_local_loss(std::int64_t grid, std::int64_t size) {
  const std::int64_t batch = 8;
  const at::Tensor probability = at::rand({batch, grid * grid}).requires_grad_(true);
  const at::Tensor masks = at::rand({batch, size, size}).lt(0.1).to(at::kByte);
  const auto backward = [&](const at::Tensor& sums) {
    static_cast<void>(torch::autograd::grad({sums.sum()}, {probability}));
  };
  const double fused = fastest(10, [&] { backward(assay::local_sums(probability, masks)); });
  const double literal = fastest(3, [&] { backward(literal_sums(probability, masks, grid)); });
  const double pixels = static_cast<double>(batch * size * size);
  fmt::print("local loss {:3} -> {:3}: {:6.2f} ns/pixel, literal {:6.2f} ({:.1f}x)\n", grid, size,
             fused / pixels * 1e9, literal / pixels * 1e9, literal / fused);
}

void bench_step(const std::string& name, std::int64_t layers = 1) {
  const auto method = assay::tiny_method(name);
  const auto shards = assay::split(assay::random_batch(8, 1, layers), 2);
  assay::MethodAdam adam(*method);
  const double step =
      fastest(10, [&] { adam.step(assay::method_step(*method, shards).gradients); });
  fmt::print("step of {:22} on assay-tiny, batch 8: {:6.1f} ms\n", name, step * 1e3);
}

}  // namespace

int main() {
  at::set_num_threads(1);
  bench_local_loss(16, 128);
  bench_local_loss(37, 518);
  bench_step("faprompt:paper");
  bench_step("faprompt:released");
  bench_step("anomalyclip:released");
  bench_step("anomalyclip:paper", /*layers=*/4);
}
