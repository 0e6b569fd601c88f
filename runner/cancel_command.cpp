#include "core/error.h"
#include "runner/cancel_requests.h"
#include "runner/commands.h"
#include "runner/lease.h"
#include "runner/look.h"
#include "runner/progress.h"

#include <fnmatch.h>

#include <algorithm>
#include <cstdio>
#include <memory>

namespace assay {
namespace {

struct CancelArguments {
  Places places;
  std::vector<std::string> jobs;
  bool all = false;
};

/// The jobs to cancel that are not over: by the first digits of an id, or by a shell pattern that
/// the whole label fits.
std::vector<std::string> chosen_jobs(const Store& store, const std::string& word) {
  if (word.find_first_of("*?[ ") == std::string::npos) return {store.find_job(word)};
  const auto labels = stored_labels(store);
  std::vector<std::string> chosen;
  for (const JobStatus& job : store.jobs()) {
    const bool open = job.state == "planned" || job.state == "running";
    if (open && ::fnmatch(word.c_str(), labels.at(job.id).c_str(), 0) == 0)
      chosen.push_back(job.id);
  }
  if (chosen.empty()) {
    throw ConfigError("no job that waits or runs is called '{}'; 'assay status --jobs' lists them",
                      word);
  }
  return chosen;
}

int cancel_command(const CancelArguments& arguments) {
  if (arguments.all == !arguments.jobs.empty()) {
    throw ConfigError("cancel: name jobs (first digits of an id, or 'train faprompt*'), or --all");
  }
  const Workspace workspace = arguments.places.paths();
  const Store store = open_store(arguments.places);
  CancelRequest request{.all = arguments.all, .jobs = {}};
  for (const std::string& word : arguments.jobs) {
    for (std::string& id : chosen_jobs(store, word)) {
      if (std::ranges::count(request.jobs, id) == 0) request.jobs.push_back(std::move(id));
    }
  }
  if (lease_holder(workspace.root).empty()) {
    say(stderr, "nothing runs here: there is nothing to cancel\n");
    return 0;
  }
  request_cancel(workspace, request);
  say(stderr, request.all ? "asked the coordinator to cancel everything\n"
                          : fmt::format("asked the coordinator to cancel {} job{}\n",
                                        request.jobs.size(), request.jobs.size() == 1 ? "" : "s"));
  return 0;
}

}  // namespace

Command add_cancel_command(CLI::App& app) {
  const auto arguments = std::make_shared<CancelArguments>();
  CLI::App* command =
      app.add_subcommand("cancel", "stop jobs of a run; the next run takes them up again");
  command->add_option("JOBS", arguments->jobs,
                      "first digits of ids, or patterns of what 'status --jobs' calls them");
  command->add_flag("--all", arguments->all, "all that waits or runs");
  add_workspace(*command, arguments->places);
  set_example(*command, "assay cancel 'train faprompt:paper*' -w demo/workspace");
  return {command, [arguments] { return cancel_command(*arguments); }};
}

}  // namespace assay
