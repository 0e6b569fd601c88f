#include "core/error.h"
#include "runner/commands.h"
#include "runner/look.h"
#include "runner/spec_difference.h"

#include <cstdio>
#include <memory>
#include <optional>

namespace assay {
namespace {

using nlohmann::json;

struct Nearest {
  std::string job;
  std::vector<SpecDifference> differences;
};

/// The known job of the same kind that differs in the fewest fields; of equals the first recorded.
std::optional<Nearest> nearest_job(const Store& store, const JobRecord& job) {
  const json spec = json::parse(job.spec);
  std::optional<Nearest> nearest;
  for (const auto& [id, text] : store.specs(job.kind)) {
    if (id == job.id) continue;
    Nearest candidate{id, spec_differences(spec, json::parse(text))};
    if (!nearest || candidate.differences.size() < nearest->differences.size()) {
      nearest = std::move(candidate);
    }
  }
  return nearest;
}

json to_json(const SpecDifference& difference) {
  return {{"field", difference.field}, {"here", difference.here}, {"there", difference.there}};
}

/// A checkpoint that differs is explained by what its training differs in.
json explain_difference(const Store& store, const SpecDifference& difference) {
  json entry = to_json(difference);
  if (difference.field.starts_with("checkpoint") && difference.here.is_string() &&
      difference.there.is_string() && difference.here != "" && difference.there != "") {
    const json ours = json::parse(store.job(difference.here).spec);
    const json theirs = json::parse(store.job(difference.there).spec);
    for (const SpecDifference& deeper : spec_differences(ours, theirs)) {
      entry["trainings_differ"].push_back(to_json(deeper));
    }
  }
  return entry;
}

json why(const Store& store, const Workspace& workspace, const std::string& id) {
  const JobRecord job = store.job(id);
  json answer = {{"job", id},
                 {"kind", job.kind},
                 {"studies", store.studies_of(id)},
                 {"attempts", json::array()},
                 {"nearest", nullptr},
                 {"differences", json::array()}};
  // Before and after: a run that begins or ends meanwhile has interrupted nothing.
  bool lives = coordinator_lives(workspace);
  const std::vector<Attempt> attempts = store.attempts(id);
  lives = lives || coordinator_lives(workspace);
  for (const Attempt& recorded : attempts) {
    const Attempt attempt = present_attempt(recorded, lives);
    answer["attempts"].push_back({{"number", attempt.number},
                                  {"outcome", attempt.outcome},
                                  {"message", attempt.message},
                                  {"started_at", attempt.started_at}});
  }
  const auto nearest = nearest_job(store, job);
  if (!nearest) return answer;
  answer["nearest"] = nearest->job;
  for (const SpecDifference& difference : nearest->differences) {
    answer["differences"].push_back(explain_difference(store, difference));
  }
  return answer;
}

void print_difference(const json& difference, const char* indent) {
  fmt::print("{}{}: {} here, {} there\n", indent, difference["field"].get<std::string>(),
             difference["here"].dump(), difference["there"].dump());
  for (const json& deeper : difference.value("trainings_differ", json::array())) {
    fmt::print("{}  their trainings differ in ", indent);
    print_difference(deeper, "");
  }
}

void print(const json& answer) {
  const std::string kind = answer["kind"];
  fmt::print("job {} ({})\n", answer["job"].get<std::string>(), kind);
  for (const json& study : answer["studies"]) {
    fmt::print("needed by study {}\n", study.get<std::string>());
  }
  for (const json& attempt : answer["attempts"]) {
    const std::string message = attempt["message"];
    fmt::print("attempt {} of {}: {}{}\n", attempt["number"].get<int>(),
               attempt["started_at"].get<std::string>(), attempt["outcome"].get<std::string>(),
               message.empty() ? "" : ": " + message);
  }
  if (answer["nearest"].is_null()) {
    fmt::print("no other {} job is known here: it had to run\n", kind);
    return;
  }
  const json& differences = answer["differences"];
  fmt::print("nearest known {} job: {}, which differs in {} field{}; the first:\n", kind,
             answer["nearest"].get<std::string>(), differences.size(),
             differences.size() == 1 ? "" : "s");
  constexpr std::size_t kShown = 10;
  for (std::size_t i = 0; i < std::min(kShown, differences.size()); ++i) {
    print_difference(differences[i], "  ");
  }
  if (differences.size() > kShown) fmt::print("  and {} more\n", differences.size() - kShown);
}

}  // namespace

Command add_why_command(CLI::App& app) {
  struct Arguments {
    Places places;
    std::string job;
    bool json = false;
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "why", "why a job ran: the first field that differs from the nearest known job");
  command->add_option("JOB", arguments->job, "first digits of a job's id")->required();
  add_workspace(*command, arguments->places);
  command->add_flag("--json", arguments->json, "for machines");
  set_example(*command, "assay why 3fa94c");
  return {command, [arguments] {
            const Store store = open_store(arguments->places);
            const json answer =
                why(store, arguments->places.paths(), store.find_job(arguments->job));
            if (arguments->json) {
              fmt::print("{}\n", answer.dump(2));
            } else {
              print(answer);
            }
            return 0;
          }};
}

}  // namespace assay
