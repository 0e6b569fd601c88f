#include "tests/support/bench.h"

#include "core/file.h"
#include "core/memory.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

namespace assay {
namespace {

BenchScale scale = BenchScale::kUsual;

constexpr std::int64_t kGemmSize = 2048;
constexpr double kGemmFlops = 2.0 * kGemmSize * kGemmSize * kGemmSize;

// The product that LibTorch computes fastest: large enough that packing does not show.
struct Gemm {
  at::Tensor a = at::rand({kGemmSize, kGemmSize}), b = at::rand_like(a), out = at::zeros_like(a);
  void run() { at::mm_out(out, a, b); }
};

// Made before anything is timed.
Gemm& gemm() {
  static Gemm only;
  return only;
}

void add_gemm(int num_threads) {
  add_bench("machine/gemm/" + std::to_string(num_threads), num_threads, 25,
            [](benchmark::State& state) {
              Gemm& product = gemm();
              for (auto iteration : state) product.run();
              set_flops(state, kGemmFlops);
            });
}

// On the clock of `add_bench`.
double seconds() {
  if (at::get_num_threads() == 1) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double gemm_seconds() {
  Gemm& product = gemm();
  const double begin = seconds();
  product.run();
  return seconds() - begin;
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

void run_against_limit(benchmark::State& state, double flops, const std::function<void()>& run) {
  const double before = gemm_seconds();
  for (auto iteration : state) run();
  const double limit = flops / kGemmFlops * (before + gemm_seconds()) / 2;
  state.counters["limit_seconds"] = limit;
}

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
