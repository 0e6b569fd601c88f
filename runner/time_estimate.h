#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace assay {

/// A job that runs, as far as its end can be guessed.
struct RunningJob {
  std::string cost_class;
  double work = 0, seconds = 0;
  double fraction = 0;  ///< Done of it, in [0, 1]; 0: unknown.
};

/// How long a run still takes, from the measured cost of each class of jobs. A class that was never
/// measured is extrapolated from how far its running jobs are, else takes the mean cost of a job:
/// an estimate that is there early and gets better. Each call costs a look at each class, not each
/// job.
class TimeEstimate {
 public:
  explicit TimeEstimate(std::map<std::string, double> seconds_per_work = {})
      : rates_(std::move(seconds_per_work)) {}

  void add(const std::string& cost_class, double work);
  /// The job no longer waits.
  void remove(const std::string& cost_class, double work);
  void measure(const std::string& cost_class, double work, double seconds);

  /// Of one job; nothing where its class was never measured.
  [[nodiscard]] std::optional<double> seconds(const std::string& cost_class, double work) const;
  /// Of all that wait, and of what runs; nothing: not known yet.
  [[nodiscard]] std::optional<double> seconds_left(const std::vector<RunningJob>& running,
                                                   std::size_t gangs) const;

 private:
  struct Waiting {
    double jobs = 0, work = 0;
  };
  struct Measured {
    double work = 0, seconds = 0;
  };
  std::map<std::string, double> rates_;
  std::map<std::string, Waiting> waiting_;
  std::map<std::string, Measured> measured_;
};

}  // namespace assay
