#include "core/comm/agree.h"
#include "core/comm/mpi_communicator.h"
#include "core/error.h"
#include "results/cost_table.h"
#include "runner/installation.h"
#include "runner/jobs.h"
#include "runner/launched_rank.h"
#include "runner/lease.h"
#include "runner/precision.h"
#include "runner/progress.h"
#include "runner/run_plan.h"
#include "runner/worker_commands.h"

#include <cstdio>
#include <memory>
#include <optional>

namespace assay {
namespace {

/// One variant on one target, as a study of its own.
struct ByHand {
  Places places;
  std::string method, target, train_on, backbone = "assay-tiny";
  std::vector<std::string> settings;
  ProfileRequest profile;
  std::string device, precision;
  std::int64_t seed = 0, image_size = 0;
  bool json = false;
};

nlohmann::json value_of(const std::string& text) {
  nlohmann::json value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  return value.is_discarded() ? nlohmann::json(text) : value;
}

Study study_of(const ByHand& arguments, JobKind kind) {
  Study study;
  study.name = "by hand";
  study.backbone.fallback = arguments.backbone;
  if (arguments.image_size > 0) study.image_size.fallback = arguments.image_size;
  if (!arguments.precision.empty()) study.precision.fallback = arguments.precision;
  study.targets = {arguments.target};
  if (kind == JobKind::kProfile) {
    study.profiles = {arguments.profile};
    study.profiles[0].methods = {arguments.method};
    study.profiles[0].place = "command line";
    arguments.places.apply_to(study);
    return study;
  }
  study.seeds = {arguments.seed};
  study.allow_overlap = true;  // A training alone has no target; the table of a study marks it.
  if (!arguments.train_on.empty()) {
    study.train_on.fallback = std::vector{arguments.train_on};
    study.train_on.by_name[arguments.target] = {arguments.train_on};
  }
  Sweep sweep;
  sweep.method = arguments.method;
  for (const std::string& setting : arguments.settings) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos) {
      throw ConfigError("'{}': expected SWITCH=VALUE, such as K=5", setting);
    }
    sweep.grid.push_back({setting.substr(0, equals), {value_of(setting.substr(equals + 1))}});
  }
  study.sweeps = {sweep};
  arguments.places.apply_to(study);
  return study;
}

/// The jobs of the plan that lead to those of `kind`, each after what it needs. Rank 0 alone looks
/// at the data; the others are told.
nlohmann::json jobs_to_run(const ByHand& arguments, JobKind kind, const std::string& device) {
  const Study study = study_of(arguments, kind);
  const Workspace workspace = arguments.places.paths();
  PlanFiles files(study, workspace.root, installation().embedded_weights);
  files.compute_on(device);
  const Plan plan = make_plan(study, files);
  const std::map<std::string, std::string> labels = job_labels(plan);
  nlohmann::json jobs = nlohmann::json::array();
  for (const Job& job : plan.jobs) {
    // The target of a training is there for the plan's sake; what trains reads features of its own.
    if (job.kind > kind || (kind == JobKind::kTrain && job.kind == JobKind::kEncode)) continue;
    nlohmann::json entry = to_json(describe_job(job, study, files, workspace));
    entry["label"] = labels.at(job.id);
    jobs.push_back(entry);
  }
  if (jobs.empty())
    throw ConfigError("{}: nothing to do for {}", to_string(kind), arguments.method);
  return jobs;
}

void print_result(const JobRun& run, bool as_json) {
  const nlohmann::json result = read_result(run.paths(), run.id).value();
  if (as_json) {
    fmt::print("{}\n", result.dump(2));
    return;
  }
  fmt::print("job {}\nresult {}\n", run.id, result_file(run.paths(), run.id).string());
  for (const auto& row : result.value("metrics", nlohmann::json::array())) {
    if (row["category"] != "mean") continue;
    fmt::print("{:<12} {:<6} {:<15} {}\n", row["dataset"].get<std::string>(),
               row["level"].get<std::string>(), row["metric"].get<std::string>(),
               row["value"].is_null() ? "-" : fmt::format("{:.4f}", row["value"].get<double>()));
  }
}

void print_costs(const std::string& method, const nlohmann::json& jobs, bool as_json) {
  std::vector<CostRecord> records;
  for (const nlohmann::json& entry : jobs) {
    const JobRun run = job_run_from_json(entry);
    records.push_back({run.spec, read_result(run.paths(), run.id).value()});
  }
  const CostTable table = make_cost_table(method, std::move(records));
  fmt::print("{}", as_json ? to_json(table).dump(2) + "\n" : to_terminal(table));
}

int run_jobs(const ByHand& arguments, JobKind kind, Communicator& host) {
  Loaded loaded;
  if (arguments.device == "cuda") loaded.device = open_gpu(host);
  if (!arguments.precision.empty()) {
    const Gpu* gpu = loaded.device.gpu ? &*loaded.device.gpu : nullptr;
    if (const std::string reason = why_not(arguments.precision, gpu); !reason.empty()) {
      throw ConfigError("{}", reason);
    }
  }
  const std::unique_ptr<Communicator> own = job_communicator(loaded.device, host);
  Communicator& comm = own ? *own : host;
  const bool leader = comm.rank() == 0;
  std::string text;
  std::optional<WorkspaceLease> lease;
  agree(comm, [&] {
    if (!leader) return;
    text = jobs_to_run(arguments, kind, loaded.device.name()).dump();
    lease.emplace(arguments.places.paths().root, "assay " + std::string(to_string(kind)));
  });
  const nlohmann::json jobs = nlohmann::json::parse(broadcast_text(comm, text));
  ProgressView view(stderr, /*quiet=*/!leader);
  JobRun run;
  for (const nlohmann::json& entry : jobs) {
    run = job_run_from_json(entry);
    bool done = false;
    agree(comm, [&] { done = read_result(run.paths(), run.id).has_value(); });
    if (!any_rank(comm, !done)) continue;
    RunState state{
        .total = 1, .remaining_seconds = {}, .running = {{0, entry["label"]}}, .progress = {}};
    JobControl control{comm,
                       [&](const nlohmann::json& progress) {
                         state.progress[0] = progress;
                         view.update(state);
                         if (lease) lease->beat();
                       },
                       [] { return false; }};
    static_cast<void>(run_job(run, loaded, control));
  }
  if (leader && kind == JobKind::kProfile) {
    print_costs(arguments.method, jobs, arguments.json);
  } else if (leader) {
    print_result(run, arguments.json);
  }
  return 0;
}

int by_hand(const ByHand& arguments, JobKind kind) {
  if (launched_rank().world_size == 1) {
    SingleCommunicator alone;
    return run_jobs(arguments, kind, alone);
  }
  if (kind == JobKind::kProfile) {
    throw ConfigError("assay profile measures one process; call it without mpirun");
  }
  const MpiSession mpi;
  const auto world = mpi.world();
  try {
    return run_jobs(arguments, kind, *world);
  } catch (const JobError& error) {  // On every rank alike: one of them says it.
    return world->rank() == 0 ? report_error(error) : 1;
  } catch (const std::exception& error) {
    report_error(error);
    MpiSession::abort(1);
  }
}

void add_profile_options(CLI::App& command, ProfileRequest& profile) {
  command.add_option("--form", profile.forms, "the released code's computation, ours; both")
      ->check(CLI::IsMember({"literal", "cached"}));
  command.add_option("--phase", profile.phases, "both")->check(CLI::IsMember({"train", "infer"}));
  command.add_option("--batch", profile.batch, "images of a training step")
      ->check(at_least(1))
      ->capture_default_str();
  command.add_option("--steps", profile.steps, "timed: 100 of training, 200 images")
      ->check(at_least(1));
  command.add_option("--warmup", profile.warmup, "untimed, before them")
      ->check(at_least(0))
      ->capture_default_str();
}

Command add(CLI::App& app, JobKind kind, const std::string& help, const std::string& example) {
  const auto arguments = std::make_shared<ByHand>();
  CLI::App* command = app.add_subcommand(std::string(to_string(kind)), help);
  command->add_option("METHOD", arguments->method, "method or method:preset (assay methods)")
      ->required();
  if (kind == JobKind::kProfile) {
    add_profile_options(*command, arguments->profile);
  } else {
    command->add_option("SETTINGS", arguments->settings,
                        "SWITCH=VALUE: what differs from the preset");
  }
  command->add_option("--backbone", arguments->backbone)->capture_default_str();
  command->add_option("--image-size", arguments->image_size, "pixels (default: the backbone's)");
  add_device(*command, arguments->device);
  command
      ->add_option("--precision", arguments->precision, "of products: fp32 (default), tf32, bf16")
      ->check(CLI::IsMember({"fp32", "tf32", "bf16"}));
  if (kind != JobKind::kTrain) {
    command->add_option("--on", arguments->target, "data set")->required();
  }
  if (kind == JobKind::kTrain || kind == JobKind::kEvaluate) {
    CLI::Option* option =
        command->add_option("--train-on", arguments->train_on, "auxiliary data set");
    if (kind == JobKind::kTrain) option->required();
    command->add_option("--seed", arguments->seed)->capture_default_str();
  }
  add_places(*command, arguments->places);
  command->add_flag("--json", arguments->json, "for machines: the job's result.json");
  set_example(*command, example);
  return {command, [arguments, kind] {
            if (kind == JobKind::kTrain) arguments->target = arguments->train_on;
            return by_hand(*arguments, kind);
          }};
}

}  // namespace

std::vector<Command> add_by_hand_commands(CLI::App& app) {
  return {add(app, JobKind::kEncode, "encode a data set with what a method reads of the backbone",
              "assay encode clip --on synth-b --data demo/data"),
          add(app, JobKind::kTrain, "train one variant",
              "mpirun -np 2 assay train faprompt:paper K=5 --train-on synth-a --data demo/data"),
          add(app, JobKind::kEvaluate, "evaluate one variant, training it first where it must",
              "mpirun -np 2 assay evaluate clip --on synth-b --data demo/data"),
          add(app, JobKind::kProfile, "measure what a method costs on this machine",
              "assay profile faprompt --on synth-b --data demo/data --steps 5 --warmup 1")};
}

}  // namespace assay
