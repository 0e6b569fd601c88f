#include "core/digest.h"
#include "core/error.h"
#include "core/file.h"
#include "core/nearest_name.h"
#include "results/table.h"
#include "runner/commands.h"
#include "runner/look.h"
#include "runner/shell_word.h"
#include "runner/variant.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <set>

namespace assay {
namespace {

using nlohmann::json;

struct ExplainArguments {
  Places places;
  std::string study, method, dataset;
  std::vector<std::string> more;  // A metric, and settings KEY=VALUE.
  bool json = false;
};

std::string label_of(const StudyCell& cell) {
  return TableRow{
      .method = cell.method, .preset = cell.preset, .params = cell.params, .epoch = cell.epoch}
      .label();
}

/// What a person names of a row: `faprompt`, `faprompt:paper`, and settings.
struct Wanted {
  std::string method, preset, dataset;
  std::vector<std::pair<std::string, std::string>> settings;
  std::optional<TableMetric> metric;

  /// As rows have it.
  [[nodiscard]] std::string full_name(const std::string& key) const {
    return switch_name(method, key).value_or(key);
  }

  /// Whether the words name all that the cell's row has, as a table prints it.
  [[nodiscard]] bool is_exactly(const StudyCell& cell) const {
    return std::ranges::all_of(cell.params->items(), [&](const auto& item) {
      return std::ranges::any_of(
          settings, [&](const auto& setting) { return full_name(setting.first) == item.key(); });
    });
  }

  [[nodiscard]] bool is(const StudyCell& cell) const {
    if (cell.for_curves() || cell.method != method || cell.dataset != dataset) return false;
    if (!preset.empty() && cell.preset != preset) return false;
    return std::ranges::all_of(settings, [&](const auto& setting) {
      const auto value = cell.params->find(full_name(setting.first));
      if (value == cell.params->end()) return false;
      return value->dump() == setting.second || (value->is_string() && *value == setting.second);
    });
  }
};

Wanted parse_wanted(const ExplainArguments& arguments) {
  Wanted wanted;
  wanted.dataset = arguments.dataset;
  const std::size_t colon = arguments.method.find(':');
  wanted.method = arguments.method.substr(0, colon);
  if (colon != std::string::npos) wanted.preset = arguments.method.substr(colon + 1);
  for (const std::string& word : arguments.more) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) {
      wanted.metric = parse_table_metric(word);
    } else {
      wanted.settings.emplace_back(word.substr(0, equals), word.substr(equals + 1));
    }
  }
  return wanted;
}

std::string setting_text(const std::string& name, const json& value) {
  return shell_word(name + "=" + (value.is_string() ? value.get<std::string>() : value.dump()));
}

template <typename Field>
std::string known_ones(const std::vector<StudyCell>& cells, Field field) {
  std::vector<std::string> names;
  for (const StudyCell& cell : cells) {
    if (std::string name = field(cell); std::ranges::count(names, name) == 0) names.push_back(name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

/// A word that means some of `cells` and not the others: a preset, else a setting.
std::string what_tells_apart(const std::vector<StudyCell>& cells) {
  const StudyCell &first = cells.front(), &last = cells.back();
  if (first.preset != last.preset)
    return fmt::format("the preset: {}:{}", last.method, last.preset);
  for (const auto& [name, value] : last.params->items()) {
    const auto other = first.params->find(name);
    if (other == first.params->end() || *other != value) {
      return "settings such as " + setting_text(name, value);
    }
  }
  for (const auto& [name, value] : first.params->items()) {
    if (!last.params->contains(name)) return "settings such as " + setting_text(name, value);
  }
  throw Error("rows of different labels have the same settings");
}

/// The cells of one row and data set: one a seed.
std::vector<StudyCell> find_cells(const std::vector<StudyCell>& cells,
                                  const Wanted& wanted,
                                  const std::string& study) {
  std::vector<StudyCell> found;
  std::ranges::copy_if(cells, std::back_inserter(found),
                       [&](const StudyCell& cell) { return wanted.is(cell); });
  if (found.empty()) {
    throw ConfigError("study '{}' has no such cell; its rows: {}; its data sets: {}", study,
                      known_ones(cells, label_of),
                      known_ones(cells, [](const StudyCell& cell) { return cell.dataset; }));
  }
  const auto exact = [&](const StudyCell& cell) { return wanted.is_exactly(cell); };
  if (std::ranges::any_of(found, exact)) std::erase_if(found, std::not_fn(exact));
  if (std::ranges::any_of(found, [&](const StudyCell& cell) {
        return label_of(cell) != label_of(found.front());
      })) {
    throw ConfigError("several rows of study '{}' are that: {}; add {}", study,
                      known_ones(found, label_of), what_tells_apart(found));
  }
  return found;
}

std::string metric_variant(const MetricRow& row, const json& spec) {
  if (row.metric == "aupro") {
    return fmt::format("exact, false positive rate up to {}, {}-connected regions, normalised",
                       spec.at("aupro_limit").get<double>(), spec.at("connectivity").get<int>());
  }
  if (row.metric == "aupro_cflow200") return "200 thresholds, as the papers' code";
  if (row.metric == "auroc") return "exact, a tie counts one half";
  if (row.metric == "ap") return "exact average precision, not the trapezoid's area";
  return "exact, over all thresholds";
}

json attempt_json(const Attempt& attempt) {
  return {{"number", attempt.number},
          {"outcome", attempt.outcome},
          {"host", attempt.host},
          {"ranks", attempt.ranks},
          {"threads", attempt.threads},
          {"cpu_capability", attempt.cpu_capability},
          {"started_at", attempt.started_at},
          {"ended_at", attempt.ended_at},
          {"environment", *attempt.environment},
          {"log", attempt.log_path}};
}

/// A job with what it was made from, down to the images.
json describe_job(const Store& store, const std::string& id, const Workspace& workspace) {
  const JobRecord record = store.job(id);
  json job = {{"id", id},
              {"kind", record.kind},
              {"spec", json::parse(record.spec)},
              {"folder", workspace.job(id).string()},
              {"attempts", json::array()},
              {"needs", json::array()}};
  for (const Attempt& attempt : store.attempts(id))
    job["attempts"].push_back(attempt_json(attempt));
  if (const auto result = store.result(id)) {
    for (const char* field : {"checkpoint_sha256", "num_images", "steps", "resumed",
                              "mixed_numerics", "ranks", "files", "warning"}) {
      if (result->contains(field)) job["result"][field] = (*result)[field];
    }
  }
  for (const std::string& needed : record.dependencies) {
    job["needs"].push_back(describe_job(store, needed, workspace));
  }
  return job;
}

/// The study on one data set.
std::string run_line(const StudyRecord& study, const std::string& dataset) {
  std::string run = "assay run " + shell_word(study.path);
  for (const std::string& word : recorded_overrides(study.text)) {
    if (!word.starts_with("targets=")) run += " " + shell_word(word);
  }
  return run + fmt::format(" targets={} -w NEW_WORKSPACE", dataset);
}

/// The cell alone, a line a seed, where a command can say it all; else the study on its data set.
std::vector<std::string> commands(const StudyRecord& study,
                                  const std::vector<StudyCell>& cells,
                                  const Workspace& workspace) {
  std::vector<std::string> lines;
  const StudyCell& cell = cells.front();
  const bool by_hand = cell.train_dataset.find('+') == std::string::npos && cell.level.empty() &&
                       !cell.params->contains("ensemble") && !cell.params->contains("eval_size") &&
                       cell.protocol->value("image_size", 0) == cell.eval_size;
  for (const StudyCell& each : cells) {
    if (!by_hand) break;
    std::string line = fmt::format("assay evaluate {}:{}", each.method, each.preset);
    for (const auto& [name, value] : each.params->items()) {
      if (name != "backbone" && name != "image_size") line += " " + setting_text(name, value);
    }
    line +=
        fmt::format(" --on {} --backbone {} --image-size {}", each.dataset,
                    each.protocol->value("backbone", ""), each.protocol->value("image_size", 0));
    if (each.seed) {
      line += fmt::format(" --train-on {} --seed {}", each.train_dataset, *each.seed);
      const std::string split = each.protocol->value("train_split", "");
      if (!each.params->contains("train.split")) line += " train.split=" + split;
    }
    lines.push_back(line + " -w NEW_WORKSPACE");
  }
  if (!by_hand) lines.push_back(run_line(study, cell.dataset));
  lines.push_back(fmt::format(
      "sqlite3 {} \"select level, metric, value from metrics where category = 'mean' and job = "
      "'{}'\"",
      shell_word(workspace.store().string()), cell.job));
  return lines;
}

json explain(const Store& store,
             const StudyRecord& study,
             const std::vector<StudyCell>& all,
             const Wanted& wanted,
             const Workspace& workspace) {
  const std::vector<StudyCell> cells = find_cells(all, wanted, study.name);
  const StudyCell& first = cells.front();
  json answer = {{"study", study.name},
                 {"study_file", study.path},
                 {"row", label_of(first)},
                 {"dataset", first.dataset},
                 {"train_dataset", first.train_dataset},
                 {"overlap", first.overlap},
                 {"protocol", *first.protocol},
                 {"numbers", json::array()},
                 {"jobs", json::array()}};
  std::error_code ignored;
  const bool there = std::filesystem::is_regular_file(study.path, ignored);
  answer["study_file_unchanged"] = there && study.text.starts_with(read_file(study.path));
  std::map<std::string, const StudyCell*> by_job;
  for (const StudyCell& cell : cells) {
    by_job[cell.job] = &cell;
    answer["jobs"].push_back(describe_job(store, cell.job, workspace));
  }
  for (const MetricValue& value : store.metric_values(study.name, "mean")) {
    const StudyCell& cell = all.at(static_cast<std::size_t>(value.position));
    const auto& row = value.row;
    if (!by_job.contains(cell.job) || !wanted.is(cell)) continue;
    if (wanted.metric &&
        (row.level != wanted.metric->level || row.metric != wanted.metric->metric)) {
      continue;
    }
    const json spec = json::parse(store.job(cell.job).spec);
    // Those of an ensemble are in the protocol.
    const bool one_seed = cell.seed && !cell.params->contains("ensemble");
    answer["numbers"].push_back({{"level", row.level},
                                 {"metric", row.metric},
                                 {"variant", metric_variant(row, spec)},
                                 {"seed", one_seed ? json(*cell.seed) : json()},
                                 {"value", row.value ? json(*row.value) : json()},
                                 {"undefined_because", row.undefined_because},
                                 {"job", cell.job}});
  }
  answer["reproduce"] = commands(study, cells, workspace);
  return answer;
}

void print_job(const json& job, std::set<std::string>& printed, const std::string& indent) {
  const std::string id = job["id"];
  const json& spec = job["spec"];
  fmt::print("{}{} job {}\n", indent, job["kind"].get<std::string>(), id);
  if (!printed.insert(id).second) return;  // Said above.
  const std::string in = indent + "  ";
  const auto part = [&](const json& images) {
    fmt::print("{}images: {} ({}), manifest {}\n", in, images["dataset"].get<std::string>(),
               images["split"].get<std::string>(), images["manifest_digest"].get<std::string>());
    for (const json& path : images.value("skipped", json::array())) {
      fmt::print("{}  left out: {}\n", in, path.get<std::string>());
    }
  };
  if (spec.contains("part")) part(spec["part"]);
  for (const json& images : spec.value("parts", json::array())) part(images);
  if (job["kind"] == "train") {
    fmt::print("{}seed {}, {} epochs, batch {}, {} at rate {}, {}\n", in, spec["seed"].dump(),
               spec["epochs"].dump(), spec["batch"].dump(), spec["optimiser"].get<std::string>(),
               spec["learning_rate"].dump(), spec["precision"].get<std::string>());
  }
  if (spec.contains("switches")) fmt::print("{}switches {}\n", in, spec["switches"].dump());
  if (spec.contains("encoder")) {
    fmt::print("{}weights {} of {}, {} px, features {}\n", in,
               spec["encoder"]["weights_sha256"].get<std::string>(),
               spec["encoder"]["features"]["backbone"].get<std::string>(),
               spec["encoder"]["features"]["image_size"].dump(),
               sha256(canonical_json(spec["encoder"])).substr(0, 12));
  }
  const json numerics = spec.contains("numerics") ? spec["numerics"] : spec["encoder"]["numerics"];
  fmt::print("{}numerics version {} of its kind\n", in, numerics.dump());
  const json result = job.value("result", json::object());
  if (result.contains("checkpoint_sha256")) {
    fmt::print("{}checkpoint {}, SHA-256 {}\n", in,
               job["folder"].get<std::string>() + "/checkpoint.safetensors",
               result["checkpoint_sha256"].get<std::string>());
  }
  if (result.value("mixed_numerics", false)) {
    fmt::print("{}resumed on another CPU capability: its bits may differ from those of one run\n",
               in);
  }
  for (const json& attempt : job["attempts"]) {
    fmt::print("{}attempt {}: {} on {}, {} ranks of {} threads, {}, {}; {}\n", in,
               attempt["number"].dump(), attempt["outcome"].get<std::string>(),
               attempt["host"].get<std::string>(), attempt["ranks"].dump(),
               attempt["threads"].dump(), attempt["cpu_capability"].get<std::string>(),
               attempt["started_at"].get<std::string>(), attempt["environment"].dump());
  }
  if (job["attempts"].empty()) {
    fmt::print("{}no attempt is recorded: run by hand, or its result was found on disk\n", in);
  }
  for (const json& needed : job["needs"]) print_job(needed, printed, in);
}

void print(const json& answer) {
  fmt::print("{} on {}, study {} ({}{})\n", answer["row"].get<std::string>(),
             answer["dataset"].get<std::string>(), answer["study"].get<std::string>(),
             answer["study_file"].get<std::string>(),
             answer["study_file_unchanged"] == true ? "" : "; the file has changed since");
  for (const json& number : answer["numbers"]) {
    const std::string value = number["value"].is_null()
                                  ? "undefined: " + number["undefined_because"].get<std::string>()
                                  : fmt::format("{:.6f}", number["value"].get<double>());
    fmt::print("  {:<5} {:<9} {}{}  ({}; job {})\n", number["level"].get<std::string>(),
               metric_title(number["metric"].get<std::string>()), value,
               number["seed"].is_null() ? "" : "  seed " + number["seed"].dump(),
               number["variant"].get<std::string>(),
               number["job"].get<std::string>().substr(0, 12));
  }
  if (answer["numbers"].empty()) fmt::print("  not measured yet\n");
  fmt::print("protocol: {}\n", answer["protocol"].dump());
  if (answer["overlap"] != 0) {
    fmt::print("{} of its images were trained on\n", answer["overlap"].dump());
  }
  std::set<std::string> printed;
  for (const json& job : answer["jobs"]) print_job(job, printed, "");
  fmt::print("to reproduce (add --data and --weights as for the study):\n");
  for (const json& line : answer["reproduce"]) fmt::print("  {}\n", line.get<std::string>());
}

/// A row that has printed numbers alone.
bool explain_published(const Study& study, const Wanted& wanted) {
  bool found = false;
  for (const PublishedTable& table : study.published_tables) {
    for (const PublishedNumber& number : published_numbers(table)) {
      if (number.method != wanted.method || number.dataset != wanted.dataset) continue;
      if (wanted.metric &&
          (wanted.metric->level != number.level || wanted.metric->metric != number.metric)) {
        continue;
      }
      fmt::print("{} on {}: {} {} {} % as printed in paper {}, table {}\n", number.method,
                 number.dataset, number.level, number.metric, number.value, table.paper,
                 table.table);
      found = true;
    }
    if (!found) continue;
    for (const PublishedProtocol& protocol : published_protocols(table, wanted.method)) {
      fmt::print("protocol of {} ({}): {}\n{}{}", protocol.method,
                 protocol.source.empty() ? "source not stated" : protocol.source,
                 json(protocol.fields).dump(), protocol.note, protocol.note.empty() ? "" : "\n");
    }
  }
  return found;
}

/// The study of that name, or one of its file run with other values where that has the cell; with
/// its cells.
std::optional<std::pair<StudyRecord, std::vector<StudyCell>>> study_with(const Store& store,
                                                                         const std::string& name,
                                                                         const Wanted& wanted) {
  std::optional<std::pair<StudyRecord, std::vector<StudyCell>>> found;
  for (const StudyRecord& record : studies_of_file(store, name)) {
    std::vector<StudyCell> cells = store.cells(record.name);
    const bool has =
        std::ranges::any_of(cells, [&](const StudyCell& cell) { return wanted.is(cell); });
    if (has || !found) found.emplace(record, std::move(cells));
    if (has) break;
  }
  return found;
}

int explain_command(const ExplainArguments& arguments) {
  const Study study = load_study(arguments.study);
  const Wanted wanted = parse_wanted(arguments);
  const auto names = [](const std::vector<std::string>& list, const std::string& name) {
    return std::ranges::count(list, name) > 0;
  };
  if (names(study.published, wanted.method)) {
    if (explain_published(study, wanted)) return 0;
    throw ConfigError("the papers print no number of {} on {} in this study's tables",
                      wanted.method, wanted.dataset);
  }
  const Store store = open_store(arguments.places);
  if (const auto found = study_with(store, study.name, wanted)) {
    const auto& [record, cells] = *found;
    const json answer = explain(store, record, cells, wanted, arguments.places.paths());
    if (arguments.json) {
      fmt::print("{}\n", answer.dump(2));
    } else {
      print(answer);
    }
    return 0;
  }
  throw ConfigError("{}: study '{}' was never run here; 'assay run {}' does",
                    arguments.places.paths().root.string(), study.name, arguments.study);
}

}  // namespace

Command add_explain_command(CLI::App& app) {
  const auto arguments = std::make_shared<ExplainArguments>();
  CLI::App* command = app.add_subcommand(
      "explain", "what a table's cell is made of, down to commands that reproduce it");
  command->add_option("STUDY", arguments->study, "study file")->required();
  command->add_option("METHOD", arguments->method, "method or method:preset")->required();
  command->add_option("DATASET", arguments->dataset)->required();
  command->add_option("MORE", arguments->more,
                      "a metric such as image.auroc, and KEY=VALUE of the row");
  add_workspace(*command, arguments->places);
  command->add_flag("--json", arguments->json, "for machines");
  set_example(*command, "assay explain experiments/demo.toml faprompt:paper elpv image.auroc K=5");
  return {command, [arguments] { return explain_command(*arguments); }};
}

}  // namespace assay
