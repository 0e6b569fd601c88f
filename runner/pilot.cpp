#include "runner/pilot.h"

#include "core/error.h"
#include "core/file.h"
#include "runner/job_spec.h"
#include "runner/shell_word.h"
#include "runner/slurm.h"

#include <nlohmann/json.hpp>
#include <poll.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <random>

namespace assay {
namespace {

namespace fs = std::filesystem;

constexpr const char* kExitFile = "ASSAY_EXIT_FILE";
constexpr std::size_t kStudyBytes = 100;  // Of a study's name, in those of files and Slurm jobs.

std::string new_name(const std::string& study) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return fmt::format("assay-{}-{}-{:08x}", study,
                     std::chrono::duration_cast<std::chrono::seconds>(now).count(),
                     std::random_device()());
}

/// Hands on what is appended to a file.
class Tail {
 public:
  Tail(fs::path path, const std::function<void(const std::string&)>& say)
      : path_(std::move(path)), say_(say) {}

  void look() {
    std::ifstream file(path_);  // Anew each time: over NFS an open file may not show what is new.
    file.seekg(position_);
    for (std::string line; std::getline(file, line) && !file.eof();) {
      say_(line);
      position_ = file.tellg();
    }
  }

 private:
  fs::path path_;
  const std::function<void(const std::string&)>& say_;
  std::streamoff position_ = 0;
};

class Pilot {
 public:
  Pilot(const PilotOptions& options, const std::function<void(const std::string&)>& say)
      : options_(options),
        say_(say),
        study_(file_name(options.study, kStudyBytes)),
        record_(options.folder / (study_ + ".json")) {
    fs::create_directories(options.folder);
    if (fs::exists(record_)) {
      const auto record = nlohmann::json::parse(read_file(record_), nullptr, false);
      name_ = record.is_object() ? record.value("name", "") : "";
    }
    if (!name_.empty()) job_ = find_job(name_);
    if (job_) {
      say(fmt::format("Slurm job {} of this study is there already: following it", job_->id));
    } else {
      submit();
    }
  }

  std::optional<int> follow(Interrupts& interrupts) {
    Tail log(path(".log"), say_);
    int told = 0;
    std::string shown, trouble;
    for (;;) {
      try {
        job_ = find_job(name_);
        trouble.clear();
        if (job_ && job_->state + job_->reason != shown) {
          shown = job_->state + job_->reason;
          say_(fmt::format("Slurm job {}: {} {}", job_->id, job_->state, job_->reason));
        }
        const int signals = interrupts.count();
        if (job_ && signals > told) {
          told = signals;
          stop(signals);
        }
      } catch (const CommError& error) {  // Unknown is not gone.
        if (trouble != error.what()) say_(fmt::format("{}; asking again", error.what()));
        trouble = error.what();
      }
      log.look();
      if (!job_ && trouble.empty()) break;
      pollfd descriptor{interrupts.descriptor(), POLLIN, 0};
      ::poll(&descriptor, 1, static_cast<int>(1000 * options_.poll_seconds));
    }
    fs::remove(record_);
    int code = 0;
    return std::ifstream(path(".exit")) >> code ? std::optional(code) : std::nullopt;
  }

 private:
  [[nodiscard]] fs::path path(const char* ending) const {
    return options_.folder / (name_ + ending);
  }

  /// The name is on disk before the job is in the queue: whoever comes next finds it by that.
  void submit() {
    name_ = new_name(study_);
    // In the shell's place: it gets the signals of scancel --batch.
    std::string line = fmt::format("{}={} exec", kExitFile, shell_word(path(".exit").string()));
    for (const std::string& word : options_.command) line += " " + shell_word(word);
    write_file_atomically(path(".sh"), "#!/bin/sh\n" + line + " > /dev/null\n");
    write_file_atomically(record_, nlohmann::json{{"name", name_}}.dump() + "\n");
    std::vector<std::string> words = {"--job-name=" + name_, "--output=" + path(".log").string(),
                                      "--open-mode=append"};
    words.insert(words.end(), options_.sbatch_options.begin(), options_.sbatch_options.end());
    try {
      job_ = QueuedJob{submit_job(words, path(".sh").string()), "", ""};
    } catch (const Error&) {
      fs::remove(record_);
      throw;
    }
    say_(fmt::format("Slurm job {} submitted; its log is {}", job_->id, path(".log").string()));
  }

  void stop(int signals) {
    if (signals == 1) {
      say_(fmt::format(
          "stopping Slurm job {}: running jobs keep their state; once more to cancel it",
          job_->id));
      interrupt_job(*job_);
    } else {
      cancel_job(*job_);
    }
  }

  const PilotOptions& options_;
  const std::function<void(const std::string&)>& say_;
  std::string study_;
  fs::path record_;
  std::string name_;
  std::optional<QueuedJob> job_;
};

}  // namespace

std::optional<int> follow_pilot(const PilotOptions& options,
                                Interrupts& interrupts,
                                const std::function<void(const std::string&)>& say) {
  return Pilot(options, say).follow(interrupts);
}

void tell_follower(int exit_code) {
  const char* file = std::getenv(kExitFile);
  if (file != nullptr) write_file_atomically(file, std::to_string(exit_code) + "\n");
}

}  // namespace assay
