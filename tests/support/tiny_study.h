#pragma once

#include "runner/process.h"
#include "runner/workspace.h"
#include "tests/support/command.h"
#include "tests/support/temporary_folder.h"

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace assay {

/// The folder of small drawings, `synth-a` and `synth-b`, made once for the whole program.
[[nodiscard]] const std::filesystem::path& small_drawings();

/// A study of six jobs on small drawings, and workspaces of its own: two encode, two train and two
/// evaluate jobs, a minute of work in all.
class TinyStudy {
 public:
  /// Draws the sets, once for the whole program.
  TinyStudy();

  /// `assay run` of the study in the workspace `name`, and what else is to be said.
  [[nodiscard]] std::vector<std::string> run_words(const std::vector<std::string>& more,
                                                   const std::string& name = "w") const;
  [[nodiscard]] std::unique_ptr<RunningCommand> start(
      const std::vector<std::string>& words,
      const std::map<std::string, std::string>& environment = {}) const;

  [[nodiscard]] Workspace workspace(const std::string& name = "w") const;
  /// What the program that was started last has written on standard error.
  [[nodiscard]] std::string errors() const;
  /// Every number of the study.
  [[nodiscard]] std::vector<std::optional<double>> numbers(const std::string& name = "w") const;
  /// Outcomes of all attempts.
  [[nodiscard]] std::multiset<std::string> outcomes() const;
  /// Waits until a training runs on two ranks; which. Fewer where none does within a minute.
  [[nodiscard]] std::vector<ProcessIdentity> training_ranks() const;

  [[nodiscard]] std::filesystem::path operator/(const std::string& name) const {
    return folder_ / name;
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace assay
