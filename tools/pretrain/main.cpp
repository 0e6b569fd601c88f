// Pretrains `assay-tiny` on procedural drawings, and says what it knows.

#include "core/error.h"
#include "core/file.h"
#include "tools/pretrain/evaluate.h"
#include "tools/pretrain/optimiser.h"
#include "tools/pretrain/tiny_clip.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <utility>

namespace assay {
namespace {

namespace fs = std::filesystem;

struct TrainOptions {
  fs::path folder, merges, start;
  BatchOptions batches;
  OptimiserOptions optimiser;
  LossWeights weights;
  std::int64_t minutes_between_checkpoints = 3;
};

/// A column of loss.csv.
struct Column {
  const char* name;
  double PretrainLosses::*value;
};
constexpr Column kColumns[] = {{"contrastive", &PretrainLosses::contrastive},
                               {"state", &PretrainLosses::state},
                               {"patch", &PretrainLosses::patch},
                               {"anchor", &PretrainLosses::anchor},
                               {"twins", &PretrainLosses::twins},
                               {"odd", &PretrainLosses::odd},
                               {"probe", &PretrainLosses::probe},
                               {"retrieval", &PretrainLosses::retrieval},
                               {"state_accuracy", &PretrainLosses::state_accuracy}};

at::Tensor distinct_tokens(const at::Tensor& texts) {
  return std::get<0>(at::_unique(texts.flatten()));
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

PretrainState first_state(const TrainOptions& o) {
  const fs::path checkpoint = o.folder / "checkpoint.safetensors";
  if (fs::exists(checkpoint)) return load_state(checkpoint);
  if (!o.start.empty()) {
    TensorMap weights = load_state(o.start).average;
    add_probes(weights, tiny_sizes());
    return fresh_state(weights);
  }
  return fresh_state(initial_weights(tiny_sizes(), o.batches.seed));
}

void train(const TrainOptions& o) {
  fs::create_directories(o.folder);
  const fs::path checkpoint = o.folder / "checkpoint.safetensors";
  const Tokenizer tokenizer(o.merges);
  PretrainState state = first_state(o);
  const Clip clip(state.weights);  // The same tensors: it sees every step.
  BatchQueue queue(o.batches, state.step, tokenizer);
  std::ofstream curve(o.folder / "loss.csv", std::ios::app);
  if (curve.tellp() == 0) {
    curve << "step,rate";
    for (const Column& column : kColumns) curve << ',' << column.name;
    curve << ",norm,seconds\n";
  }
  auto saved = std::chrono::steady_clock::now();
  constexpr int kEvery = 20;  // Steps a line of the curve is the mean of.
  double sums[std::size(kColumns)] = {}, norms = 0.0;
  auto since = saved;
  while (state.step < o.optimiser.steps) {
    const PretrainBatch batch = queue.next();
    PretrainLosses losses = pretrain_losses(clip, state.weights, batch, o.weights);
    losses.total.backward();
    norms += optimiser_step(o.optimiser, state, distinct_tokens(batch.texts)) / kEvery;
    for (std::size_t i = 0; i < std::size(kColumns); ++i) {
      sums[i] += losses.*kColumns[i].value / kEvery;
    }
    if (state.step % kEvery == 0) {
      curve << fmt::format("{},{:.3g}", state.step, learning_rate(o.optimiser, state.step));
      for (double& sum : sums) curve << fmt::format(",{:.4f}", std::exchange(sum, 0.0));
      curve << fmt::format(",{:.2f},{:.3f}\n", std::exchange(norms, 0.0),
                           seconds_since(since) / kEvery)
            << std::flush;
      since = std::chrono::steady_clock::now();
    }
    if (seconds_since(saved) > 60.0 * static_cast<double>(o.minutes_between_checkpoints)) {
      save_state(checkpoint, state);
      saved = std::chrono::steady_clock::now();
    }
  }
  save_state(checkpoint, state);
}

/// Weights of a checkpoint (its average) or of an exported file.
TensorMap load_weights(const fs::path& path) {
  SafeTensors file = read_safetensors(path);
  if (!file.metadata.contains("step")) return std::move(file.tensors);
  return load_state(path).average;
}

void export_weights(const fs::path& from, const fs::path& to) {
  SafeTensors file;
  const TensorMap weights = load_weights(from);
  for (const auto& [name, shape] : clip_tensors(tiny_sizes())) {  // Without the probes.
    file.tensors[name] = weights.at(name).to(at::kHalf).contiguous();
  }
  file.metadata["format"] = "pt";
  write_safetensors(to, file);
}

int run(int argc, char** argv) {
  CLI::App app{"Pretrains assay-tiny, the embedded backbone"};
  app.require_subcommand(1);
  int threads = 1;
  app.add_option("--threads", threads, "Threads of LibTorch")->capture_default_str();

  TrainOptions o;
  CLI::App* training = app.add_subcommand("train", "Train, or go on from the folder's checkpoint");
  training->add_option("folder", o.folder, "Checkpoint and loss curve")->required();
  training->add_option("--merges", o.merges, "bpe_simple_vocab_16e6.txt.gz")->required();
  training->add_option("--start", o.start, "Checkpoint whose weights to start from");
  training->add_option("--seed", o.batches.seed)->capture_default_str();
  training->add_option("--image-size", o.batches.image_size, "Pixels")->capture_default_str();
  training->add_option("--twins", o.batches.twins, "Pairs a batch")->capture_default_str();
  training->add_option("--steps", o.optimiser.steps)->capture_default_str();
  training->add_option("--rate", o.optimiser.peak_rate)->capture_default_str();
  training->add_option("--warm-up", o.optimiser.warm_up_steps)->capture_default_str();

  training->add_option("--contrastive-weight", o.weights.contrastive, "Of the contrastive loss")
      ->capture_default_str();
  training->add_option("--state-weight", o.weights.state, "Of the state and twin losses")
      ->capture_default_str();

  fs::path weights, target, merges;
  HeldOutOptions held_out;
  CLI::App* evaluating = app.add_subcommand("evaluate", "Measure on the held-out drawings");
  evaluating->add_option("weights", weights, "Checkpoint or exported weights")->required();
  evaluating->add_option("--merges", merges, "bpe_simple_vocab_16e6.txt.gz")->required();
  evaluating->add_option("--size", held_out.size, "Drawings")->capture_default_str();
  evaluating->add_option("--image-size", held_out.image_size, "Pixels")->capture_default_str();

  bool seen = false;
  evaluating->add_flag("--seen", seen, "Drawings such as it was trained on instead");

  CLI::App* exporting = app.add_subcommand("export", "Write weights as fp16 safetensors");
  exporting->add_option("checkpoint", weights)->required();
  exporting->add_option("target", target)->required();
  CLI11_PARSE(app, argc, argv);

  at::set_num_threads(threads);
  if (training->parsed()) train(o);
  if (evaluating->parsed()) {
    const Clip clip(load_weights(weights), weights.string());
    if (seen) held_out.pool = DrawingPool::kPretraining;
    fmt::print("{}", to_text(evaluate_held_out(clip, Tokenizer(merges), held_out)));
  }
  if (exporting->parsed()) export_weights(weights, target);
  return 0;
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) {
  try {
    return assay::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
