#include "core/error.h"
#include "core/file.h"
#include "runner/commands.h"
#include "runner/lease.h"
#include "runner/look.h"
#include "runner/progress.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

namespace assay {
namespace {

using nlohmann::json;

struct StatusArguments {
  Places places;
  std::string study;
  bool jobs = false, json = false, watch = false;
  double interval = 0;  // Seconds; 0: 1 on a terminal, else 10.
};

json counts_of(const Store& store, const std::string& study, bool lives) {
  json counts = json::object();
  for (const StateCount& count : store.count_jobs(study)) {
    json& kind = counts.emplace(count.kind, json::object()).first.value();
    kind["total"] = kind.value("total", std::int64_t{0}) + count.jobs;
    kind[present_state(count.state, lives)] = count.jobs;
  }
  return counts;
}

/// What the coordinator wrote last, where one lives.
json live_state(const Workspace& workspace) {
  if (!std::filesystem::exists(workspace.live())) return nullptr;
  return json::parse(read_file(workspace.live()), nullptr, /*allow_exceptions=*/false);
}

/// What is recorded, seen from beside a coordinator that `holder` describes; empty: there is none.
json status_of(const StatusArguments& arguments, const std::string& holder) {
  const Store store = open_store(arguments.places);
  const Workspace workspace = arguments.places.paths();
  const bool lives = !holder.empty();
  json status = {{"workspace", workspace.root.string()},
                 {"held_by", holder},
                 {"now", nullptr},
                 {"studies", json::object()},
                 {"running", json::array()},
                 {"interrupted", json::array()}};
  for (const StudyRecord& study : store.studies()) {
    if (!arguments.study.empty() && study.name != arguments.study) continue;
    status["studies"][study.name] = counts_of(store, study.name, lives);
  }
  if (!arguments.study.empty() && status["studies"].empty()) {
    throw ConfigError("{}: study '{}' was never run here", arguments.places.workspace,
                      arguments.study);
  }
  for (const Attempt& attempt : store.open_attempts()) {
    status[present_state("running", lives)].push_back({{"job", attempt.job},
                                                       {"kind", store.job(attempt.job).kind},
                                                       {"attempt", attempt.number},
                                                       {"gang", attempt.gang},
                                                       {"ranks", attempt.ranks},
                                                       {"started_at", attempt.started_at},
                                                       {"log", attempt.log_path}});
  }
  if (arguments.jobs) {
    const auto labels = stored_labels(store);
    for (const JobStatus& job : store.jobs(arguments.study)) {
      status["jobs"].push_back({{"id", job.id},
                                {"kind", job.kind},
                                {"state", present_state(job.state, lives)},
                                {"attempts", job.num_attempts},
                                {"label", labels.at(job.id)},
                                {"class", job.cost_class}});
    }
  }
  if (lives) status["now"] = live_state(workspace);
  return status;
}

/// A run that begins while we look has interrupted nothing: then we look again.
json status_of(const StatusArguments& arguments) {
  const std::filesystem::path root = arguments.places.paths().root;
  json status = status_of(arguments, lease_holder(root));
  if (status["interrupted"].empty()) return status;
  const std::string holder = lease_holder(root);
  return holder.empty() ? status : status_of(arguments, holder);
}

std::string attempt_line(const json& attempt) {
  return fmt::format("{} {} on gang {}, {} ranks, since {}", attempt["kind"].get<std::string>(),
                     attempt["job"].get<std::string>().substr(0, 12), attempt["gang"].get<int>(),
                     attempt["ranks"].get<int>(), attempt["started_at"].get<std::string>());
}

std::string to_text(const json& status) {
  const std::string holder = status["held_by"];
  std::string text = fmt::format("workspace {}: {}\n", status["workspace"].get<std::string>(),
                                 holder.empty() ? "idle" : "held by " + holder);
  for (const auto& [name, kinds] : status["studies"].items()) {
    text += fmt::format("study {}\n", name);
    for (const auto& [kind, counts] : kinds.items()) {
      const int interrupted = counts.value("interrupted", 0);
      text += fmt::format("  {:<9} {:>4} of {} done, {} running, {} failed{}\n", kind,
                          counts.value("done", 0), counts.value("total", 0),
                          counts.value("running", 0), counts.value("failed", 0),
                          interrupted > 0 ? fmt::format(", {} interrupted", interrupted) : "");
    }
  }
  for (const json& job : status["running"]) {
    text += "running: " + attempt_line(job) + "\n";
  }
  for (const json& job : status["interrupted"]) {
    text += fmt::format("interrupted: {}: {}\n", attempt_line(job), kWhyInterrupted);
  }
  for (const json& job : status.value("jobs", json::array())) {
    text += fmt::format("{}  {:<11}  {}\n", job["id"].get<std::string>().substr(0, 12),
                        job["state"].get<std::string>(), job["label"].get<std::string>());
  }
  if (status["now"].is_object()) {
    for (const std::string& line : live_lines(run_state_from_json(status["now"]))) {
      text += line + "\n";
    }
  }
  return text;
}

/// Until nobody holds the workspace: on a terminal repainted, else a line whenever it says more.
int watch(const StatusArguments& arguments) {
  const bool terminal = ::isatty(STDOUT_FILENO) != 0;
  const std::chrono::duration<double> interval(arguments.interval > 0 ? arguments.interval
                                                                      : (terminal ? 1.0 : 10.0));
  std::string shown;
  while (true) {
    const json status = status_of(arguments);
    std::string text = arguments.json ? status.dump() + "\n" : to_text(status);
    if (!terminal && !arguments.json && status["now"].is_object()) {
      text = describe(run_state_from_json(status["now"])) + "\n";
    }
    if (terminal && !arguments.json) text = "\x1b[H\x1b[2J" + text;
    if (text != shown && !say(stdout, text)) return 0;  // Nobody reads any more.
    shown = text;
    if (status["held_by"] == "") return 0;
    std::this_thread::sleep_for(interval);
  }
}

int status_command(const StatusArguments& arguments) {
  if (arguments.watch) return watch(arguments);
  const json status = status_of(arguments);
  say(stdout, arguments.json ? status.dump(2) + "\n" : to_text(status));
  return 0;
}

}  // namespace

Command add_status_command(CLI::App& app) {
  const auto status = std::make_shared<StatusArguments>();
  CLI::App* command = app.add_subcommand("status", "what is done, runs, failed");
  command->add_option("STUDY", status->study, "name of a study (default: all)");
  add_workspace(*command, status->places);
  command->add_flag("--jobs", status->jobs, "list every job with the id that 'log' takes");
  command->add_flag("--watch", status->watch, "again and again, until nothing runs");
  command
      ->add_option("--interval", status->interval,
                   "seconds between looks (default: 1 on a terminal, else 10)")
      ->check(above_zero());
  command->add_flag("--json", status->json, "for machines; with --watch one object a line");
  set_example(*command, "assay status --workspace demo/workspace --watch");
  return {command, [status] { return status_command(*status); }};
}

}  // namespace assay
