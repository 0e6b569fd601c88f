#pragma once

#include "core/file.h"
#include "results/store.h"

#include <filesystem>
#include <string>

namespace assay {

/// What a rank prints while it runs a job, libraries and all: its descriptors 1 and 2.
///
/// Begins as `rankN.attempt.log` in the gang's folder and becomes `rankN.log` of the attempt's when
/// the job reports progress or has ended with something printed: a job that is done at once and
/// says nothing leaves no file. What a gang that died has left its coordinator moves there.
class AttemptLog {
 public:
  /// Descriptors 1 and 2 are the gang's own log, to which they return between jobs.
  AttemptLog(std::filesystem::path gang, int rank);

  /// Throws DataError where the log cannot be opened.
  void start(const std::filesystem::path& attempt);
  /// The attempt's folder gets the log now. Where it cannot, it stays where it is.
  void keep();
  void end();

 private:
  std::filesystem::path path_, kept_as_;
  std::string name_;
  Descriptor of_gang_, of_attempt_;
  bool kept_ = false;
};

/// Gives the attempt's folder what the ranks of `gang`, which are dead, have printed in it.
void keep_attempt_logs(const std::filesystem::path& gang, const Attempt& attempt);

/// Where the log of a rank lies at the moment, or would.
[[nodiscard]] std::filesystem::path attempt_log(const std::filesystem::path& gang,
                                                const Attempt& attempt,
                                                int rank);

/// Of the attempt, below its job's folder.
[[nodiscard]] std::filesystem::path folder_of(const Attempt& attempt);

}  // namespace assay
