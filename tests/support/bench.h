#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <string>

namespace assay {

/// How much of a bench is run.
enum class BenchScale {
  kQuick,  ///< Once, without what takes minutes: does it run?
  kUsual,
  kFull,  ///< Models of real size too, and the literal computations that take a minute.
};

/// Registers a bench: `run` is timed once an iteration, `repetitions` times (once if quick), with
/// `num_threads` threads of LibTorch. tools/bench/ knows figures by the name, `FIGURE/SIZE` or
/// `FIGURE/literal`; the sizes are `quarter`, `one` and `four`. Time is CPU time of one thread, so
/// that others on the core do not count, and wall time of several.
void add_bench(const std::string& name,
               int num_threads,
               int repetitions,
               std::function<void(benchmark::State&)> run);

/// How many units (pixels, images, bytes) an iteration is about.
void set_units(benchmark::State& state, double units);
/// Floating-point operations of an iteration.
void set_flops(benchmark::State& state, double flops);
/// Times `run`, which cannot do without `flops` operations, beside a product that LibTorch computes
/// fastest, just before and just after: what others do on this hardware meets both.
void run_against_limit(benchmark::State& state, double flops, const std::function<void()>& run);

/// Main function of a bench: reads `--quick` and `--full`, calls `register_all`, adds the machine's
/// own rates (`machine/gemm/N` in floating-point operations, `machine/bandwidth` in bytes) and
/// runs, the repetitions of all benches mixed.
int bench_main(int argc, char** argv, const std::function<void(BenchScale)>& register_all);

/// Peak of this process's resident memory while `run` runs, above what it had before, in bytes.
[[nodiscard]] double peak_growth_bytes(const std::function<void()>& run);

}  // namespace assay
