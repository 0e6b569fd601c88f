#include "tests/support/bench.h"

#include "core/file.h"
#include "core/memory.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <malloc.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

namespace assay {
namespace {

BenchScale scale = BenchScale::kUsual;

// The product that LibTorch computes fastest: large enough that packing does not show.
void add_gemm(int num_threads) {
  add_bench("machine/gemm/" + std::to_string(num_threads), num_threads, 25,
            [](benchmark::State& state) {
              constexpr std::int64_t kSize = 2048;
              static const at::Tensor a = at::rand({kSize, kSize}), b = at::rand({kSize, kSize});
              static const at::Tensor out = at::zeros({kSize, kSize});
              for (auto iteration : state) at::mm_out(const_cast<at::Tensor&>(out), a, b);
              set_flops(state, 2.0 * kSize * kSize * kSize);
            });
}

// Reading 256 MB, which no cache holds.
void add_bandwidth() {
  add_bench("machine/bandwidth", 1, 9, [](benchmark::State& state) {
    static const at::Tensor values = at::ones({std::int64_t{1} << 26});
    for (auto iteration : state) benchmark::DoNotOptimize(values.sum());
    set_units(state, static_cast<double>(values.nbytes()));
  });
}

// A line `NAME:  123 kB` of /proc/self/status, in bytes.
double status_bytes(std::string_view name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name)) return 1024 * std::stod(line.substr(name.size() + 1));
  }
  throw std::runtime_error("/proc/self/status has no line " + std::string(name));
}

}  // namespace

void add_bench(const std::string& name,
               int num_threads,
               int repetitions,
               std::function<void(benchmark::State&)> run) {
  auto* bench =
      benchmark::RegisterBenchmark(name.c_str(), [run = std::move(run), num_threads](auto& state) {
        at::set_num_threads(num_threads);
        run(state);
        state.counters["threads"] = num_threads;
      });
  bench->Iterations(1)
      ->Repetitions(scale == BenchScale::kQuick ? 1 : repetitions)
      ->MeasureProcessCPUTime()
      ->Unit(benchmark::kMillisecond);
  if (num_threads > 1) bench->UseRealTime();
}

void set_units(benchmark::State& state, double units) { state.counters["units"] = units; }
void set_flops(benchmark::State& state, double flops) { state.counters["flops"] = flops; }

int bench_main(int argc, char** argv, const std::function<void(BenchScale)>& register_all) {
  keep_freed_memory();
  std::vector<char*> arguments;
  std::string interleave = "--benchmark_enable_random_interleaving=true";
  for (int i = 0; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--quick") {
      scale = BenchScale::kQuick;
    } else if (argument == "--full") {
      scale = BenchScale::kFull;
    } else {
      arguments.push_back(argv[i]);
    }
  }
  arguments.push_back(interleave.data());
  register_all(scale);
  add_gemm(1);
  add_gemm(2);
  add_bandwidth();
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

double peak_growth_bytes(const std::function<void()>& run) {
  ::malloc_trim(0);  // What others freed must not hide what `run` takes.
  std::ofstream("/proc/self/clear_refs") << "5";  // Resets VmHWM.
  const double before = status_bytes("VmRSS");
  run();
  return std::max(status_bytes("VmHWM") - before, 0.0);
}

}  // namespace assay
