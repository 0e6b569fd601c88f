#include "tests/support/tiny_study.h"

#include "core/file.h"
#include "datasets/synth.h"
#include "results/store.h"

namespace assay {
namespace {

constexpr const char* kStudy = R"(
schema = 1
name = "tiny"
backbone = "assay-tiny"
image_size = 64
train_on = "synth-a"
targets = ["synth-b"]
seeds = [0, 1]
[[sweep]]
method = "anomalyclip"
grid = { "train.epochs" = [10] }
)";

}  // namespace

const std::filesystem::path& small_drawings() {
  static const TemporaryFolder folder;
  static const bool drawn = [] {
    const SynthOptions options{
        .image_size = 64, .train_normal = 1, .test_normal = 6, .test_anomalous = 6, .seed = 3};
    for (const std::string& name : synth_names()) write_synth(name, folder / name, options);
    return true;
  }();
  static_cast<void>(drawn);
  return folder.path();
}

TinyStudy::TinyStudy() {
  std::filesystem::create_directories(folder_ / "out");
  write_file_atomically(folder_ / "study.toml", kStudy);
  static_cast<void>(small_drawings());
}

std::vector<std::string> TinyStudy::run_words(const std::vector<std::string>& more,
                                              const std::string& name) const {
  std::vector<std::string> words = {std::string(ASSAY_BINARY_DIR) + "/assay",
                                    "run",
                                    (folder_ / "study.toml").string(),
                                    "--data",
                                    small_drawings().string(),
                                    "-w",
                                    workspace(name).root.string()};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

std::unique_ptr<RunningCommand> TinyStudy::start(
    const std::vector<std::string>& words,
    const std::map<std::string, std::string>& environment) const {
  return std::make_unique<RunningCommand>(words, folder_ / "out", environment);
}

Workspace TinyStudy::workspace(const std::string& name) const { return {folder_ / name}; }

std::string TinyStudy::errors() const { return read_file(folder_ / "out/stderr"); }

std::vector<std::optional<double>> TinyStudy::numbers(const std::string& name) const {
  std::vector<std::optional<double>> values;
  for (const MetricValue& value : Store(workspace(name).store()).metric_values("tiny")) {
    values.push_back(value.row.value);
  }
  return values;
}

std::multiset<std::string> TinyStudy::outcomes() const {
  std::multiset<std::string> all;
  const Store store(workspace().store());
  for (const JobStatus& job : store.jobs("tiny")) {
    for (const Attempt& attempt : store.attempts(job.id)) all.insert(attempt.outcome);
  }
  return all;
}

std::vector<ProcessIdentity> TinyStudy::training_ranks() const {
  std::vector<ProcessIdentity> ranks;
  const bool found = eventually([&] {
    if (!std::filesystem::exists(workspace().store())) return false;
    const Store store(workspace().store());
    for (const Attempt& attempt : store.open_attempts()) {
      if (store.job(attempt.job).kind != "train") continue;
      ranks = recorded_ranks(workspace().gangs() / std::to_string(attempt.gang));
      if (ranks.size() == 2) return true;
    }
    return false;
  });
  if (!found) ranks.clear();
  return ranks;
}

}  // namespace assay
