#include "core/error.h"
#include "core/file.h"
#include "results/cost_table.h"
#include "results/render.h"
#include "runner/commands.h"
#include "runner/gpu_probe.h"
#include "runner/installation.h"
#include "runner/interrupts.h"
#include "runner/lease.h"
#include "runner/look.h"
#include "runner/pilot.h"
#include "runner/process.h"
#include "runner/progress.h"
#include "runner/resources.h"
#include "runner/run_plan.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>

namespace assay {
namespace {

struct StudyArguments {
  std::string study;
  std::vector<std::string> overrides;
  Places places;
  bool json = false;

  [[nodiscard]] Study load() const {
    Study loaded = load_study(study, overrides);
    places.apply_to(loaded);
    return loaded;
  }
};

struct TableArguments : StudyArguments {
  std::string format = "text", category = "mean";
  std::vector<std::string> metrics;
  bool curves = false;
};

struct RunArguments : StudyArguments {
  ResourceArguments resources;
  int retries = 3;
  std::string device;
  double timeout = CoordinatorOptions{}.hang_timeout_seconds;
  std::string sbatch_options;
  bool quiet = false;
};

void add_study_arguments(CLI::App& command, StudyArguments& arguments) {
  command.add_option("STUDY", arguments.study, "study file")->required();
  command.add_option("OVERRIDES", arguments.overrides, "KEY=VALUE,...: replaces a key or an axis");
  add_places(command, arguments.places);
  command.add_flag("--json", arguments.json, "for machines, on stdout");
}

PlanHistory history_of(const Study& study, const Workspace& workspace) {
  if (!std::filesystem::exists(workspace.store())) return {};
  const Store store(workspace.store());
  PlanHistory history{.seconds_per_work = store.seconds_per_work()};
  for (const std::string& id : store.done_jobs()) history.done.insert(id);
  for (const StudyRecord& other : store.studies()) {
    if (other.name != study.name) history.others[other.name] = store.job_ids(other.name);
  }
  return history;
}

int plan_command(const StudyArguments& arguments) {
  const Study study = arguments.load();
  const Workspace workspace = arguments.places.paths();
  PlanFiles files(study, workspace.root, installation().embedded_weights);
  // Never freed: of 100,000 jobs, one by one, that takes a tenth of the time, just before the end.
  const Plan& plan = *std::make_unique<Plan>(make_plan(study, files)).release();
  const PlanSummary summary = summarise(study, plan, history_of(study, workspace));
  if (arguments.json) {
    fmt::print("{}\n", to_json(summary).dump(2));
  } else {
    fmt::print("{}", to_text(summary));
  }
  return 0;
}

bool wants_colour() { return ::isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr; }

/// What was measured, then what it cost.
std::string rendered(const Table& table, const CostTable& costs, const std::string& format) {
  if (format == "csv") return to_csv(table) + csv_lines(costs);
  if (format == "json") {
    nlohmann::json both = to_json(table);
    if (!costs.records.empty()) both["costs"] = to_json(costs);
    return both.dump(2) + "\n";
  }
  const bool no_cells = table.rows.empty() && !costs.rows.empty();
  if (format == "markdown") {
    return (no_cells ? "" : to_markdown(table) + (costs.rows.empty() ? "" : "\n")) +
           to_markdown(costs);
  }
  if (format == "latex") return to_latex(table) + to_latex(costs);
  return (no_cells ? "" : to_terminal(table, wants_colour()) + (costs.rows.empty() ? "" : "\n")) +
         to_terminal(costs);
}

CostTable costs_of(const Study& study, const Store& store) {
  std::vector<CostRecord> records;
  if (study.profiles.empty()) return make_cost_table(study.name, {});
  for (const auto& [spec, result] : store.profiles(study.name)) {
    records.push_back({nlohmann::json::parse(spec), nlohmann::json::parse(result)});
  }
  return make_cost_table(study.name, std::move(records));
}

/// The study's tables in `format`.
std::string tables_of(const Study& study,
                      const Store& store,
                      const TableArguments& arguments,
                      const std::string& format) {
  TableOptions options;
  options.category = arguments.category;
  options.curves = arguments.curves;
  options.published_tables = study.published_tables;
  options.published = study.published;
  if (!arguments.metrics.empty()) options.metrics.clear();
  for (const std::string& metric : arguments.metrics) {
    options.metrics.push_back(parse_table_metric(metric));
  }
  const Table table = make_table(study.name, store.cells(study.name),
                                 store.metric_values(study.name, options.category), options);
  return rendered(table, costs_of(study, store), format);
}

/// The studies of the same file that were run with other values, for people.
std::string variants_of(const Study& study, const Store& store) {
  std::string names;
  for (const StudyRecord& other : studies_of_file(store, plain_name(study.name, study.text))) {
    names += fmt::format("{}'{}'", names.empty() ? "; what ran: " : ", ", other.name);
  }
  return names;
}

void note_if_changed(const Study& study, const Store& store) {
  for (const StudyRecord& record : store.studies()) {
    if (record.name != study.name || record.text == study.text) continue;
    say(stderr, fmt::format("note: {} was changed since it was run here, and this is the table of "
                            "what ran; 'assay run' runs what is new\n",
                            study.path.string()));
  }
}

int table_command(const TableArguments& arguments) {
  const Study study = arguments.load();
  const Workspace workspace = arguments.places.paths();
  if (!std::filesystem::exists(workspace.store())) {
    throw ConfigError(
        "{}: there is no workspace; 'assay run {}' makes one, or name it with "
        "--workspace",
        workspace.root.string(), arguments.study);
  }
  const Store store(workspace.store());
  if (store.job_ids(study.name).empty()) {
    throw ConfigError("{}: study '{}' was never run here{}; 'assay run' with the same words does",
                      workspace.root.string(), study.name, variants_of(study, store));
  }
  note_if_changed(study, store);
  fmt::print("{}", tables_of(study, store, arguments, arguments.json ? "json" : arguments.format));
  return 0;
}

void print_outcome(const RunReport& report, const StudyArguments& arguments) {
  for (const EndedJob& job : report.failed) {
    if (!job.ran) continue;  // Was said when it failed, and has no log.
    say(stderr, fmt::format("failed: {}: {}\n        assay log {} -w {}\n", job.label, job.error,
                            job.id.substr(0, 12), arguments.places.workspace));
  }
  const std::size_t done = report.done_before + report.done;
  const std::string cancelled =
      report.cancelled.empty() ? "" : fmt::format(", {} cancelled", report.cancelled.size());
  say(stderr, fmt::format("{} of {} jobs done ({} before), {} failed{}{}\n", done, report.total,
                          report.done_before, report.failed.size(), cancelled,
                          report.interrupted ? "; interrupted: the same command goes on" : ""));
}

/// What `assay status` shows of a run, once a second; gone with it.
class LiveFile {
 public:
  explicit LiveFile(std::filesystem::path path) : path_(std::move(path)) {}
  ~LiveFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  LiveFile(const LiveFile&) = delete;
  LiveFile& operator=(const LiveFile&) = delete;

  void write(const RunState& state) {
    const auto now = std::chrono::steady_clock::now();
    if (now - written_ < std::chrono::seconds(1)) return;
    written_ = now;
    try {
      replace_file(path_, to_json(state).dump() + "\n");
    } catch (const DataError&) {
      // The run goes on without.
    }
  }

 private:
  std::filesystem::path path_;
  std::chrono::steady_clock::time_point written_;
};

/// `outputs.heatmaps` of a study: pictures in the workspace, by the program that can draw.
void draw_heatmaps(const std::filesystem::path& worker,
                   const Study& study,
                   const RunArguments& arguments) {
  std::vector<std::string> words = {worker.string(),
                                    "heatmaps",
                                    arguments.study,
                                    "--count",
                                    std::to_string(study.heatmaps),
                                    "--out",
                                    (arguments.places.paths().root / "heatmaps").string(),
                                    "-w",
                                    arguments.places.workspace};
  if (!arguments.places.data.empty()) {
    words.insert(words.end(), {"--data", arguments.places.data});
  }
  words.insert(words.end(), arguments.overrides.begin(), arguments.overrides.end());
  pid_t child = -1;
  int status = 1;
  const int code = ::posix_spawn(&child, words[0].c_str(), nullptr, nullptr,
                                 exec_pointers(words).data(), environ);
  if (code == 0) ::waitpid(child, &status, 0);
  if (status != 0) say(stderr, "the heat maps could not be drawn\n");
}

/// What was typed, with the program's full name.
std::vector<std::string> this_command() {
  std::istringstream text(read_file("/proc/self/cmdline"));
  std::vector<std::string> words;
  for (std::string word; std::getline(text, word, '\0');) words.push_back(word);
  words.at(0) = std::filesystem::read_symlink("/proc/self/exe").string();
  return words;
}

/// `--launcher slurm` outside of an allocation: one Slurm job runs this very command.
int run_as_pilot(const RunArguments& arguments) {
  const int ranks = std::max(arguments.resources.slots, arguments.resources.ranks);
  if (ranks <= 0) {
    throw ConfigError(
        "--launcher slurm: say --slots N, how many processes the Slurm job is made for");
  }
  const Study study = arguments.load();
  const Workspace workspace = arguments.places.paths();
  PlanFiles files(study, workspace.root, installation().embedded_weights);
  static_cast<void>(make_plan(study, files));  // What is wrong is said here, not in a log.
  PilotOptions options{.folder = std::filesystem::absolute(workspace.root) / "slurm",
                       .study = study.name,
                       .command = this_command(),
                       .sbatch_options = {fmt::format("--ntasks={}", ranks)}};
  for (std::string& word : words_of(arguments.sbatch_options)) {
    options.sbatch_options.push_back(std::move(word));
  }
  Interrupts interrupts;
  const std::optional<int> code =
      follow_pilot(options, interrupts, [](const std::string& line) { say(stderr, line + "\n"); });
  if (std::filesystem::exists(workspace.store())) {
    const Store store(workspace.store());
    if (!store.job_ids(study.name).empty()) {
      say(stdout, tables_of(study, store, {}, arguments.json ? "json" : "text"));
    }
  }
  if (interrupts.count() > 0) return kExitInterrupted;
  if (!code) say(stderr, "the Slurm job was killed: the same command goes on\n");
  return code.value_or(kExitTryAgain);
}

int run_command(const RunArguments& arguments) {
  check_resources(arguments.resources, arguments.device == "cuda");
  if (wants_pilot(arguments.resources)) return run_as_pilot(arguments);
  const std::filesystem::path worker = find_worker();
  become_rank_of_pool(arguments.resources, worker, arguments.places.paths(),
                      arguments.device == "cuda");
  const Study study = arguments.load();
  const GpuProbe probe = gpus_for(study, arguments.device, worker);
  const Workspace workspace = arguments.places.paths();
  PlanFiles files(study, workspace.root, installation().embedded_weights);
  if (!probe.gpus.empty()) files.compute_on(probe.gpus.front().name);
  const Plan plan = make_plan(study, files);
  WorkspaceLease lease(workspace.root, "assay run " + arguments.study);
  const auto results = list_results(workspace);
  Store store(workspace.store());
  store.record_study({study.name, std::filesystem::absolute(study.path).string(), study.text},
                     job_records(plan), plan.cells);
  for (const std::string& note : plan.notes) say(stderr, "note: " + note + "\n");

  const Resources resources = find_resources(arguments.resources, probe.selectors);
  const RealWorldOptions world{.workspace = workspace,
                               .worker = worker,
                               .launcher = resources.launcher,
                               .pool = resources.pool,
                               .results = results};
  CoordinatorOptions options{.scheduler = {.slots = resources.slots,
                                           .ranks = resources.ranks,
                                           .retries = arguments.retries},
                             .hang_timeout_seconds = arguments.timeout};
  RunReport report;
  bool asked_to_stop = false;
  LiveFile live(workspace.live());
  {
    Interrupts interrupts(resources.time_left);
    ProgressView view(stderr, arguments.quiet);
    report = run_plan(
        plan, world, options,
        [&](const Job& job) { return describe_job(job, study, files, workspace); }, store,
        interrupts, view,
        [&](const RunState& state) {
          lease.beat();
          live.write(state);
        });
    if (interrupts.out_of_time()) say(stderr, "stopped before the allocation's time limit\n");
    asked_to_stop = interrupts.count() > 0 && !interrupts.out_of_time();
  }
  print_outcome(report, arguments);
  if (study.heatmaps > 0 && !report.interrupted) draw_heatmaps(worker, study, arguments);
  say(stdout, tables_of(study, store, {}, arguments.json ? "json" : "text"));
  if (report.interrupted) return asked_to_stop ? kExitInterrupted : kExitTryAgain;
  return report.failed.empty() && report.cancelled.empty() ? 0 : kExitSomeFailed;
}

}  // namespace

std::vector<Command> add_study_commands(CLI::App& app) {
  std::vector<Command> commands;
  const auto plan = std::make_shared<StudyArguments>();
  CLI::App* plan_app = app.add_subcommand("plan", "say what a study needs; starts nothing");
  add_study_arguments(*plan_app, *plan);
  set_example(*plan_app, "assay plan experiments/demo.toml K=1,5");
  commands.push_back({plan_app, [plan] { return plan_command(*plan); }});

  const auto run = std::make_shared<RunArguments>();
  CLI::App* run_app =
      app.add_subcommand("run", "run a study and print its table; the same command resumes");
  add_study_arguments(*run_app, *run);
  run_app
      ->add_option("--ranks", run->resources.ranks,
                   "processes of each gang (default: cores, at most 4; on GPUs 1)")
      ->check(at_least(1));
  run_app->add_option("--slots", run->resources.slots, "processes in all (default: cores, or GPUs)")
      ->check(at_least(1));
  add_device(*run_app, run->device);
  run_app
      ->add_option("--gangs-per-gpu", run->resources.gangs_per_gpu,
                   "gangs of one rank that share each GPU (default: 1)")
      ->check(at_least(1));
  run_app->add_option("--retries", run->retries, "of a job whose gang died")
      ->capture_default_str()
      ->check(at_least(0));
  run_app
      ->add_option("--timeout", run->timeout,
                   "seconds after which a job in which nothing moves is ended")
      ->capture_default_str()
      ->check(above_zero());
  run_app->add_option("--hostfile", run->resources.hostfile,
                      "hosts of the gangs: lines 'name slots=N'");
  run_app
      ->add_option("--launcher", run->resources.launcher,
                   "local: mpirun; slurm: steps of the allocation, or one Slurm job for the study")
      ->check(CLI::IsMember({"auto", "local", "slurm"}))
      ->capture_default_str();
  run_app->add_option("--launcher-args", run->resources.launcher_arguments,
                      "passed on to mpirun or srun");
  run_app->add_option("--sbatch", run->sbatch_options,
                      "passed on to sbatch: '--partition=gpu --time=8:00:00'");
  run_app->add_flag("-q,--quiet", run->quiet, "show failures only");
  set_example(*run_app, "assay run experiments/demo.toml --ranks 2");
  commands.push_back({run_app, [run] { return run_command(*run); }});

  const auto table = std::make_shared<TableArguments>();
  CLI::App* table_app = app.add_subcommand("table", "print a study's table from stored numbers");
  add_study_arguments(*table_app, *table);
  table_app->add_option("-f,--format", table->format)
      ->check(CLI::IsMember({"text", "markdown", "latex", "csv", "json"}))
      ->capture_default_str();
  table_app->add_option("--category", table->category, "one category instead of the mean")
      ->capture_default_str();
  table_app->add_option("--metric", table->metrics, "LEVEL.METRIC, such as pixel.aupro; several");
  table_app->add_flag("--curves", table->curves,
                      "the sweeps with 'eval': every epoch a row, auxiliary sets too");
  set_example(*table_app, "assay table experiments/demo.toml --format latex");
  commands.push_back({table_app, [table] { return table_command(*table); }});
  return commands;
}

}  // namespace assay
