#include "runner/real_world.h"

#include "core/error.h"
#include "runner/attempt_log.h"
#include "runner/beat.h"
#include "runner/gang_scratch.h"
#include "runner/job_run.h"
#include "runner/process.h"

#include <fmt/ranges.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <fstream>

namespace assay {
namespace {

using nlohmann::json;

// What happens within so long the store saves at once: a hundred jobs that are over at once cost
// one transaction.
constexpr double kSaveSeconds = 0.05;

/// Facts of a gang's rank 0, from its event `ready`; less the job.
AttemptStart attempt_start(const json& ready, int gang) {
  return {.gang = gang,
          .ranks = ready.value("ranks", 1),
          .host = ready.value("host", ""),
          .pid = ready.value("pid", 0),
          .cpu_capability = ready.value("cpu_capability", ""),
          .threads = ready.value("threads", 1),
          .environment = ready.value("environment", json::object())};
}

GangEvent event_from(const json& message) {
  using Kind = GangEvent::Kind;
  static const std::map<std::string, Kind> kinds = {{"ready", Kind::kReady},
                                                    {"progress", Kind::kProgress},
                                                    {"done", Kind::kDone},
                                                    {"interrupted", Kind::kInterrupted},
                                                    {"failed", Kind::kFailed}};
  const std::string name = message.value("event", "");
  const auto kind = kinds.find(name);
  if (kind == kinds.end()) throw CommError("a gang speaks of '{}', which is no event", name);
  return {.kind = kind->second,
          .job = message.value("job", ""),
          .attempt = message.value("attempt", std::int64_t{0}),
          .error = message.value("error", ""),
          .out_of_memory = message.value("out_of_memory", false),
          .progress = message};
}

/// `--cores 4,5`, where the slots have such.
void add_places(const std::vector<Slot>& slots,
                const Launcher& launcher,
                std::vector<std::string>& arguments) {
  std::vector<int> cores;
  std::vector<std::string> devices;
  for (const Slot& slot : slots) {
    if (slot.core >= 0) cores.push_back(slot.core);
    if (!slot.device.empty()) devices.push_back(slot.device);
  }
  if (cores.size() == slots.size()) {
    arguments.insert(arguments.end(), {"--cores", fmt::format("{}", fmt::join(cores, ","))});
  }
  if (devices.size() == slots.size()) {
    arguments.insert(arguments.end(), {"--devices", fmt::format("{}", fmt::join(devices, ","))});
  }
  if (launcher.gpus || !devices.empty()) arguments.emplace_back("--gpus");
}

}  // namespace

RealWorld::RealWorld(const RealWorldOptions& options,
                     std::function<JobRun(const std::string& job)> describe,
                     Store& store,
                     Interrupts& interrupts,
                     ProgressView& view,
                     std::function<void(const RunState&)> on_state)
    : options_(options),
      describe_(std::move(describe)),
      store_(store),
      interrupts_(interrupts),
      view_(view),
      on_state_(std::move(on_state)),
      attempts_(options.workspace) {
  static_cast<void>(cancel_requests());  // Those of a run that is over.
}

double RealWorld::now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void RealWorld::wait(double seconds) {
  record_done();
  if (gathered_) seconds = std::clamp(*gathered_ + kSaveSeconds - now(), 0.0, seconds);
  std::vector<pollfd> descriptors = {{interrupts_.descriptor(), POLLIN, 0}};
  for (const auto& [g, running] : gangs_) {
    descriptors.push_back({running.gang->descriptor(), POLLIN, 0});
  }
  ::poll(descriptors.data(), descriptors.size(), static_cast<int>(std::ceil(1000 * seconds)));
  if (gathered_ && now() >= *gathered_ + kSaveSeconds) save();
}

void RealWorld::gather() {
  if (gathered_) return;
  store_.gather();
  gathered_ = now();
}

void RealWorld::save() {
  record_done();
  for (Attempt& attempt : begun_) {
    if (attempt.id == 0) store_.begin(attempt);
  }
  store_.save();
  gathered_.reset();
}

void RealWorld::record_done() {
  for (const DoneAttempt& done : std::exchange(done_, {})) {
    gather();
    attempts_.append(store_.finish_attempt(done.attempt, done.end, &done.result));
  }
}

std::vector<CancelRequest> RealWorld::cancel_requests() {
  return take_cancel_requests(options_.workspace);
}

void RealWorld::show(const RunState& state) {
  view_.update(state);
  on_state_(state);
}

RealWorld::~RealWorld() {
  try {
    save();
  } catch (const Error&) {
    // Of a run that ends so; the next one finds in the folders what the store lacks.
  }
  // The other ranks wait in MPI_Init for the one that has had nothing to do.
  if (options_.pool && !pool_ && std::uncaught_exceptions() == 0) start_pool();
}

void RealWorld::start_pool() {
  std::filesystem::remove_all(options_.workspace.gangs());
  pool_.emplace(options_.worker, options_.workspace.gangs(), *options_.pool);
}

void RealWorld::start_gang(int gang, const std::vector<Slot>& slots) {
  const std::filesystem::path folder = gang_folder(gang);
  if (options_.pool) {
    if (!pool_) start_pool();
    gangs_[gang].gang =
        std::make_unique<Gang>(GangOptions{.slots = slots, .folder = folder}, pool_->take(gang));
    return;
  }
  end_ranks(options_.launcher, options_.worker, folder);
  std::vector<std::string> arguments = {"--folder", folder.string(), "--ranks",
                                        std::to_string(slots.size())};
  add_places(slots, options_.launcher, arguments);
  gangs_[gang].gang = std::make_unique<Gang>(GangOptions{.slots = slots,
                                                         .worker = options_.worker,
                                                         .arguments = std::move(arguments),
                                                         .folder = folder,
                                                         .launcher = options_.launcher});
}

void RealWorld::run_job(int gang, const Attempt& attempt) {
  JobRun run = describe_(attempt.job);
  run.attempt = attempt.number;
  remove_result(options_.workspace, attempt.job);
  RunningGang& running = gangs_.at(gang);
  const char* name = kRunFiles.at(running.jobs_sent % kRunFiles.size());
  const std::filesystem::path file = running.gang->options().folder / name;
  const std::string sha256 = write_run(run, file);
  send(gang, {{"do", "run"},
              {"job", attempt.job},
              {"attempt", attempt.number},
              {"file", file.string()},
              {"sha256", sha256},
              {"folder", folder_of(attempt).string()}});
  ++running.jobs_sent;
}

void RealWorld::send(int gang, const json& message) {
  try {
    gangs_.at(gang).gang->send(message);
  } catch (const CommError&) {
    // It is gone already, which `receive` will notice.
  }
}

void RealWorld::tell(int gang, Order order, const std::string& job) {
  switch (order) {
    case Order::kStop: send(gang, {{"do", "stop"}}); break;
    case Order::kCancel: send(gang, {{"do", "cancel"}, {"job", job}}); break;
    case Order::kEnd:
      send(gang, {{"do", "end"}});
      gangs_.at(gang).told_to_end = true;
      gangs_.at(gang).gang->close_input();
      break;
  }
}

std::optional<std::vector<GangEvent>> RealWorld::receive(int gang) {
  RunningGang& running = gangs_.at(gang);
  const auto messages = running.gang->receive();
  if (!messages) return std::nullopt;
  std::vector<GangEvent> events;
  for (const json& message : *messages) {
    events.push_back(event_from(message));
    if (events.back().kind == GangEvent::Kind::kReady) running.facts = attempt_start(message, gang);
  }
  return events;
}

GangEnd RealWorld::end_gang(int gang, double grace_seconds) {
  RunningGang& running = gangs_.at(gang);
  GangEnd end = running.gang->end(grace_seconds);
  if (options_.pool && !running.told_to_end) {
    // The channel may be gone before the ranks, which could still leave a result.
    end_recorded_ranks(running.gang->options().folder);
    remove_scratch(running.gang->options().folder);
    pool_lost_ = true;
  }
  gangs_.erase(gang);
  return end;
}

std::vector<RankBeat> RealWorld::beats(int gang) {
  return read_beats(gangs_.at(gang).gang->options().folder);
}

void RealWorld::end_strays() {
  std::error_code missing;
  for (const auto& gang :
       std::filesystem::directory_iterator(options_.workspace.gangs(), missing)) {
    end_ranks(options_.launcher, options_.worker, gang.path());
  }
}

Attempt RealWorld::begin_attempt(int gang, const std::string& job) {
  gather();
  AttemptStart start = gangs_.at(gang).facts;
  start.job = job;
  return begun_.emplace_back(store_.next_attempt(start, options_.workspace.job(job)));
}

void RealWorld::finish_attempt(const Attempt& known,
                               const AttemptEnd& end,
                               const JobResult* result) {
  Attempt attempt = known;
  if (const auto begun = std::ranges::find(begun_, attempt.job, &Attempt::job);
      begun != begun_.end()) {
    attempt = std::move(*begun);
    begun_.erase(begun);
  }
  const auto gang = static_cast<int>(attempt.gang);
  // A gang that lives has seen to it.
  if (result == nullptr || !gangs_.contains(gang)) keep_attempt_logs(gang_folder(gang), attempt);
  if (result != nullptr) {
    done_.push_back({std::move(attempt), end, *result});
    return;
  }
  gather();
  attempts_.append(store_.finish_attempt(attempt, end));
  try {  // Without a result nothing else says what job this was.
    write_file_atomically(options_.workspace.job(attempt.job) / "spec.json",
                          store_.job(attempt.job).spec + "\n");
  } catch (const DataError&) {
    // A full disk, which has failed the job already.
  }
}

void RealWorld::adopt(const std::string& job, const JobResult& result) {
  store_.adopt_result(job, result);
}

bool RealWorld::has_result(const std::string& job) {
  if (options_.results.get().contains(job)) return true;
  const Workspace& workspace = options_.workspace;  // It may have come since.
  return std::filesystem::exists(workspace.result(job)) ||
         std::filesystem::exists(workspace.former_result(job));
}

std::optional<JobResult> RealWorld::complete_result(const std::string& job, ResultCheck check) {
  const auto result = read_result(options_.workspace, job);
  if (!result) return std::nullopt;
  const std::string problem =
      result_problem(options_.workspace, *result, check == ResultCheck::kDigests);
  if (!problem.empty()) {
    view_.line(problem, true);
    return std::nullopt;
  }
  if (check == ResultCheck::kDigests) make_durable(options_.workspace, job);
  return JobResult::of(*result);
}

}  // namespace assay
