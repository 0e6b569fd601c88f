#include "core/error.h"
#include "core/file.h"
#include "registry/method_catalogue.h"
#include "results/store.h"
#include "runner/commands.h"
#include "runner/lease.h"
#include "runner/look.h"
#include "runner/progress.h"

#include <algorithm>
#include <cstdio>
#include <memory>

namespace assay {
namespace {

using nlohmann::json;

json status_of(const Store& store, const std::string& study) {
  json counts = json::object();
  for (const JobStatus& job : store.jobs(study)) {
    if (!counts.contains(job.kind)) counts[job.kind] = json::object();
    json& kind = counts[job.kind];
    kind["total"] = kind.value("total", 0) + 1;
    kind[job.state] = kind.value(job.state, 0) + 1;
  }
  return counts;
}

struct StatusArguments {
  Places places;
  std::string study;
  bool jobs = false, json = false;
};

int status_command(const StatusArguments& arguments) {
  const Store store = open_store(arguments.places);
  json status = {{"workspace", arguments.places.paths().root.string()},
                 {"held_by", lease_holder(arguments.places.paths().root)},
                 {"now", ""},
                 {"studies", json::object()},
                 {"running", json::array()}};
  for (const StudyRecord& study : store.studies()) {
    if (!arguments.study.empty() && study.name != arguments.study) continue;
    status["studies"][study.name] = status_of(store, study.name);
  }
  if (!arguments.study.empty() && status["studies"].empty()) {
    throw ConfigError("{}: study '{}' was never run here", arguments.places.workspace,
                      arguments.study);
  }
  for (const Attempt& attempt : store.open_attempts()) {
    status["running"].push_back({{"job", attempt.job},
                                 {"kind", store.job(attempt.job).kind},
                                 {"attempt", attempt.number},
                                 {"gang", attempt.gang},
                                 {"ranks", attempt.ranks},
                                 {"started_at", attempt.started_at},
                                 {"log", attempt.log_path}});
  }
  if (arguments.jobs) {
    for (const JobStatus& job : store.jobs(arguments.study)) {
      status["jobs"].push_back({{"id", job.id},
                                {"kind", job.kind},
                                {"state", job.state},
                                {"attempts", job.num_attempts},
                                {"class", job.cost_class}});
    }
  }
  const std::filesystem::path live = arguments.places.paths().live();
  if (!status["held_by"].get<std::string>().empty() && std::filesystem::exists(live)) {
    status["now"] = read_file(live);
  }
  if (arguments.json) {
    fmt::print("{}\n", status.dump(2));
    return 0;
  }
  const std::string holder = status["held_by"];
  fmt::print("workspace {}: {}\n", status["workspace"].get<std::string>(),
             holder.empty() ? "idle" : "held by " + holder);
  for (const auto& [name, kinds] : status["studies"].items()) {
    fmt::print("study {}\n", name);
    for (const auto& [kind, counts] : kinds.items()) {
      fmt::print("  {:<9} {:>4} of {} done, {} running, {} failed\n", kind, counts.value("done", 0),
                 counts.value("total", 0), counts.value("running", 0), counts.value("failed", 0));
    }
  }
  for (const json& job : status["running"]) {
    fmt::print("running: {} {} on gang {}, {} ranks, since {}\n", job["kind"].get<std::string>(),
               job["job"].get<std::string>().substr(0, 12), job["gang"].get<int>(),
               job["ranks"].get<int>(), job["started_at"].get<std::string>());
  }
  for (const json& job : status.value("jobs", json::array())) {
    fmt::print("{}  {:<8}  {:<8}  {}\n", job["id"].get<std::string>().substr(0, 12),
               job["kind"].get<std::string>(), job["state"].get<std::string>(),
               job["class"].get<std::string>());
  }
  if (const std::string now = status["now"]; !now.empty()) fmt::print("{}\n", now);
  return 0;
}

struct LogArguments {
  Places places;
  std::string job;
  std::int64_t attempt = 0;
  int rank = 0;
  bool failed = false;
};

void print_log(const Attempt& attempt, int rank) {
  const std::filesystem::path log =
      std::filesystem::path(attempt.log_path).parent_path() / fmt::format("rank{}.log", rank);
  fmt::print(stderr, "job {} attempt {} ({}{}{}): {}\n", attempt.job.substr(0, 12), attempt.number,
             attempt.outcome.empty() ? "running" : attempt.outcome,
             attempt.message.empty() ? "" : ": ", attempt.message, log.string());
  if (std::filesystem::exists(log)) fmt::print("{}", read_file(log));
}

int log_command(const LogArguments& arguments) {
  const Store store = open_store(arguments.places);
  std::vector<std::string> jobs;
  if (arguments.failed) {
    for (const JobStatus& job : store.jobs()) {
      if (job.state == "failed") jobs.push_back(job.id);
    }
  } else if (arguments.job.empty()) {
    throw ConfigError("log: name a job (the first digits of its id), or give --failed");
  } else {
    jobs.push_back(store.find_job(arguments.job));
  }
  for (const std::string& job : jobs) {
    const std::vector<Attempt> attempts = store.attempts(job);
    const auto wanted = [&](const Attempt& a) { return a.number == arguments.attempt; };
    const auto found = arguments.attempt == 0 ? attempts.end() - (attempts.empty() ? 0 : 1)
                                              : std::ranges::find_if(attempts, wanted);
    if (found == attempts.end()) {
      throw ConfigError("job {}: no such attempt; it has {}", job.substr(0, 12), attempts.size());
    }
    print_log(*found, arguments.rank);
  }
  return 0;
}

/// Of each preset on the papers' backbone.
std::map<std::string, ParameterCounts> published_counts(const MethodDescription& method) {
  const BackboneDescription& backbone = find_backbone("clip-vit-l-14-336");
  std::map<std::string, ParameterCounts> counts;
  for (const auto& [preset, values] : method.presets) {
    counts[preset] =
        resolve_method(method.name + ":" + preset, {}, backbone, backbone.default_image_size)
            .parameters;
  }
  return counts;
}

json describe(const MethodDescription& method) {
  json switches = json::object();
  for (const SwitchDescription& each : method.switches) {
    json& entry = switches[each.name];
    entry = {{"meaning", each.meaning}};
    if (!each.choices.empty()) entry["choices"] = each.choices;
    for (const auto& [preset, values] : method.presets) {
      const auto value = values.find(each.name);
      if (value != values.end()) entry["presets"][preset] = value->second;
    }
  }
  json rows = json::array();
  for (const AblationRow& row : method.rows) {
    rows.push_back({{"name", row.name},
                    {"printed", row.printed},
                    {"switches", row.switches},
                    {"note", row.note}});
  }
  json counts = json::object();
  for (const auto& [preset, parameters] : published_counts(method)) {
    counts[preset] = {{"registered", parameters.registered}, {"trained", parameters.trained}};
  }
  return {{"name", method.name},
          {"rows", rows},
          {"parameters", counts},
          {"paper", method.paper},
          {"trained", method.trained},
          {"default_preset", method.default_preset},
          {"short_names", method.short_names},
          {"switches", switches}};
}

void print_row(const AblationRow& row) {
  std::string changes;
  for (const auto& [name, value] : row.switches) {
    changes += fmt::format("{}{} {}", changes.empty() ? "" : ", ", name, value.dump());
  }
  fmt::print("  {} ({})\n      {}\n", row.name, row.printed,
             changes.empty() ? "nothing: the preset itself" : changes);
  if (!row.note.empty()) fmt::print("      {}\n", row.note);
}

void print_method(const MethodDescription& method) {
  fmt::print("{}: {}\n", method.name, method.paper);
  for (const SwitchDescription& each : method.switches) {
    std::string values;
    for (const auto& [preset, settings] : method.presets) {
      const auto value = settings.find(each.name);
      if (value == settings.end()) continue;
      values += fmt::format("{}{} {}", values.empty() ? "" : ", ", preset, value->second.dump());
    }
    fmt::print("  {:<22} {}\n  {:<22}   {}\n", each.name, each.meaning, "", values);
  }
  for (const auto& [alias, name] : method.short_names) fmt::print("  {} = {}\n", alias, name);
  for (const auto& [preset, counts] : published_counts(method)) {
    if (counts.trained == 0) continue;
    fmt::print("parameters of {} on clip-vit-l-14-336: {} trained, {} as the papers count\n",
               preset, counts.trained, counts.registered);
  }
  if (method.rows.empty()) return;
  fmt::print("rows of its ablations, for grid = {{ row = [...] }}, with what they change:\n");
  for (const AblationRow& row : method.rows) print_row(row);
}

int methods_command(const std::string& name, bool as_json) {
  std::vector<const MethodDescription*> shown;
  if (name.empty()) {
    for (const MethodDescription& method : methods()) shown.push_back(&method);
  } else {
    shown.push_back(&find_method(name));
  }
  if (as_json) {
    json all = json::array();
    for (const MethodDescription* method : shown) all.push_back(describe(*method));
    fmt::print("{}\n", all.dump(2));
    return 0;
  }
  for (const MethodDescription* method : shown) {
    if (!name.empty()) {
      print_method(*method);
      continue;
    }
    std::string presets;
    for (const auto& [preset, settings] : method->presets) presets += " :" + preset;
    fmt::print("{:<12}{:<20} {}\n", method->name, presets, method->paper);
  }
  return 0;
}

}  // namespace

std::vector<Command> add_look_commands(CLI::App& app) {
  std::vector<Command> commands;
  const auto status = std::make_shared<StatusArguments>();
  CLI::App* status_app = app.add_subcommand("status", "what is done, runs, failed");
  status_app->add_option("STUDY", status->study, "name of a study (default: all)");
  add_workspace(*status_app, status->places);
  status_app->add_flag("--jobs", status->jobs, "list every job with the id that 'log' takes");
  status_app->add_flag("--json", status->json, "for machines");
  set_example(*status_app, "assay status --workspace demo/workspace");
  commands.push_back({status_app, [status] { return status_command(*status); }});

  const auto log = std::make_shared<LogArguments>();
  CLI::App* log_app = app.add_subcommand("log", "print the log of a job");
  log_app->add_option("JOB", log->job, "first digits of a job's id");
  log_app->add_option("--attempt", log->attempt, "number of the attempt (default: the last)");
  log_app->add_option("--rank", log->rank, "whose log")->capture_default_str();
  log_app->add_flag("--failed", log->failed, "of every failed job");
  add_workspace(*log_app, log->places);
  set_example(*log_app, "assay log 3fa94c");
  commands.push_back({log_app, [log] { return log_command(*log); }});

  const auto name = std::make_shared<std::string>();
  const auto as_json = std::make_shared<bool>(false);
  CLI::App* methods_app = app.add_subcommand("methods", "what a study can name, with its switches");
  methods_app->add_option("METHOD", *name, "one of them, with its switches");
  methods_app->add_flag("--json", *as_json, "for machines");
  set_example(*methods_app, "assay methods faprompt");
  commands.push_back({methods_app, [name, as_json] { return methods_command(*name, *as_json); }});
  return commands;
}

}  // namespace assay
