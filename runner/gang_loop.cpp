#include "runner/gang_loop.h"

#include "core/comm/agree.h"
#include "core/comm/mpi_communicator.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/file.h"
#include "runner/attempt_log.h"
#include "runner/beat.h"
#include "runner/channel.h"
#include "runner/control_input.h"
#include "runner/gang.h"
#include "runner/gang_rank.h"
#include "runner/gang_scratch.h"
#include "runner/watched_communicator.h"

#include <c10/util/Exception.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <new>
#include <optional>
#include <span>

namespace assay {
namespace {

constexpr auto kProgressInterval = std::chrono::milliseconds(200);
constexpr std::size_t kErrorBytes = 2000;  // Of a message on the channel; the log has all of it.

/// Rank 0's voice; the other ranks have none.
class Events {
 public:
  explicit Events(int descriptor) {
    if (descriptor >= 0) writer_.emplace(descriptor);
  }

  /// What follows is about this attempt.
  void start(const nlohmann::json& command) {
    about_ = {{"job", command.at("job")}, {"attempt", command.at("attempt")}};
  }

  void send(std::string_view event, nlohmann::json fields = nlohmann::json::object()) {
    if (!writer_) return;
    fields.update(about_);
    fields["event"] = event;
    writer_->send(fields);
  }

  void progress(const nlohmann::json& fields) {
    const auto now = std::chrono::steady_clock::now();
    if (!writer_ || now - last_progress_ < kProgressInterval) return;
    last_progress_ = now;
    send("progress", fields);
  }

 private:
  std::optional<MessageWriter> writer_;
  nlohmann::json about_ = nlohmann::json::object();
  std::chrono::steady_clock::time_point last_progress_;
};

/// How rank 0 passes a stop on to ranks that do not communicate for a while (each encodes shards of
/// its own): a file in the folder of the gang, or one named after the attempt that was cancelled.
class StopFile {
 public:
  explicit StopFile(std::filesystem::path path) : path_(std::move(path)) {}

  [[nodiscard]] bool exists() const { return ::access(path_.c_str(), F_OK) == 0; }
  bool make() const {
    std::ofstream(path_).put('\n');
    return true;
  }

 private:
  std::filesystem::path path_;
};

/// srun without a PMI gives N worlds of one, or an MPI that cannot start.
void check_slurm_step() {
  if (std::getenv("SLURM_STEP_ID") == nullptr || std::getenv("PMIX_RANK") != nullptr ||
      std::getenv("PMI_RANK") != nullptr) {
    return;
  }
  throw CommError(
      "Slurm starts ranks that do not know each other: 'srun --mpi=list' must name pmix, which "
      "the site's administrators install; until then, --launcher local");
}

/// Cut to fit the channel, at the start of a UTF-8 character.
std::string cut(std::string text) {
  if (text.size() <= kErrorBytes) return text;
  std::size_t size = kErrorBytes;
  while ((static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  return text.substr(0, size) + " ...";
}

/// One rank of a gang, job after job.
class Rank {
 public:
  /// `comm` is for commands, `of_jobs` for jobs; `input`: of rank 0 alone.
  Rank(const GangRank& gang,
       Communicator& comm,
       Communicator& of_jobs,
       ControlInput* input,
       int events)
      : gang_(gang),
        comm_(comm),
        log_(gang.folder, comm.rank()),
        beat_(gang.folder, comm.rank()),
        watched_(of_jobs, beat_),
        input_(input),
        events_(events) {}

  void say_ready() {
    nlohmann::json ready = gang_.facts ? gang_.facts() : nlohmann::json::object();
    ready.update({{"ranks", comm_.world_size()}, {"pid", ::getpid()}});
    events_.send("ready", std::move(ready));
  }

  /// Waits for a job and runs it; false where there is none to come.
  bool run_next(const RunJob& run_job) {
    const std::string text = broadcast_text(comm_, input_ ? next_command().dump() : std::string());
    const nlohmann::json command = nlohmann::json::parse(text);
    if (command.at("do") == "end") return false;
    run(command, run_job);
    return true;
  }

 private:
  /// A job that waited here while another one ran may be wanted no more.
  nlohmann::json next_command() {
    for (;;) {
      nlohmann::json command = input_->wait();
      if (command.at("do") != "run") return command;
      if (!input_->stop_requested() && !input_->cancelled(command.at("job"))) return command;
      events_.start(command);
      events_.send("interrupted");
    }
  }

  void run(const nlohmann::json& command, const RunJob& run_job) {
    const std::string job = command.at("job");
    const std::filesystem::path file = command.at("file").get<std::string>();
    const StopFile stopped(gang_.folder / "stop");
    const StopFile cancelled(gang_.folder /
                             fmt::format("cancelled-{}-{}", job, command.at("attempt").get<int>()));
    events_.start(command);
    JobControl control{.comm = watched_,
                       .progress =
                           [&](const nlohmann::json& progress) {
                             get_on();
                             events_.progress(progress);
                           },
                       .should_stop =
                           [&] {
                             get_on();
                             if (!input_) return stopped.exists() || cancelled.exists();
                             return (input_->stop_requested() && stopped.make()) ||
                                    (input_->cancelled(job) && cancelled.make());
                           }};
    try {
      nlohmann::json run;
      agree(comm_, [&] {
        log_.start(command.at("folder").get<std::string>());
        beat_.start_job();
        const std::string text = read_file(file);
        if (sha256(text) != command.at("sha256")) throw DataError("{}: is damaged", file.string());
        run = nlohmann::json::parse(text);
      });
      const JobEnd end = run_job(run, control);
      log_.end();
      watched_.barrier();  // Done is what all ranks have done.
      events_.send(end == JobEnd::kDone ? "done" : "interrupted");
    } catch (const JobError& error) {
      const std::string why = error.what();
      fmt::print(stderr, "[job {} rank {}/{}] failed: {}\n", job.substr(0, 8), comm_.rank(),
                 comm_.world_size(), why);
      log_.end();
      // As `agree` names std::bad_alloc, and LibTorch a GPU's.
      events_.send("failed", {{"error", cut(why)},
                              {"out_of_memory", why.find("out of memory") != std::string::npos}});
    }
  }

  /// The job lives, and is none that is over at once.
  void get_on() {
    beat_.tick();
    log_.keep();
  }

  const GangRank& gang_;
  Communicator& comm_;
  AttemptLog log_;
  Beat beat_;
  WatchedCommunicator watched_;
  ControlInput* input_;
  Events events_;
};

[[noreturn]] void end_gang(const std::optional<MpiSession>& mpi, int code) {
  std::fflush(nullptr);
  // The peers wait in a collective call that this rank will never join: end them too.
  if (mpi) MpiSession::abort(code);
  std::_Exit(code);
}

/// A gang on one host shares its cores: the kernel may move ranks among them, never to those of
/// another gang. Of a gang on several hosts each rank knows its own.
void place_rank(const GangRank& gang, const LaunchedRank& launched) {
  const auto rank = static_cast<std::size_t>(launched.rank);
  if (rank < gang.cores.size()) {
    const bool one_host = launched.local_size == launched.world_size;
    const std::span<const int> cores = gang.cores;
    bind_to_cores(one_host ? cores : cores.subspan(rank, 1));
  }
  if (rank < gang.devices.size()) {
    ::setenv("CUDA_VISIBLE_DEVICES", gang.devices[rank].c_str(), /*overwrite=*/1);
  }
}

}  // namespace

void serve_gang(const GangRank& gang,
                Communicator& comm,
                const ControlDescriptors& descriptors,
                const RunJob& run_job) {
  if (comm.world_size() != gang.ranks) {
    throw CommError(
        "this gang has {} ranks, {} were asked for: mpirun and the MPI library of "
        "this build do not belong together; try ASSAY_MPIRUN=...",
        comm.world_size(), gang.ranks);
  }
  std::unique_ptr<ControlInput> input;
  if (comm.rank() == 0) input = std::make_unique<ControlInput>(descriptors.input.get());
  try {
    const std::unique_ptr<Communicator> of_jobs =
        gang.job_communicator ? gang.job_communicator(comm) : nullptr;
    Rank rank(gang, comm, of_jobs ? *of_jobs : comm, input.get(), descriptors.events.get());
    rank.say_ready();
    while (rank.run_next(run_job)) continue;
  } catch (...) {
    static_cast<void>(input.release());  // Its thread is still reading: the process ends with it.
    throw;
  }
}

int guard_gang(const LaunchedRank& launched,
               const std::optional<MpiSession>& mpi,
               const std::function<void()>& body) {
  const auto say = [&](const char* why) {
    fmt::print(stderr, "[rank {}/{}] the gang ends: {}\n", launched.rank, launched.world_size, why);
  };
  try {
    body();
    return 0;
  } catch (const std::bad_alloc&) {
    say("out of memory");
    end_gang(mpi, kOutOfMemoryExit);
  } catch (const c10::OutOfMemoryError& error) {
    say(error.what_without_backtrace());
    end_gang(mpi, kOutOfMemoryExit);
  } catch (const std::exception& error) {
    say(error.what());
    end_gang(mpi, 1);
  }
}

int run_gang(const GangRank& gang, const RunJob& run_job) {
  const LaunchedRank launched = launched_rank();
  ::signal(SIGPIPE, SIG_IGN);
  const ControlDescriptors descriptors = start_rank(gang.folder, launched.rank);
  place_rank(gang, launched);
  std::optional<RankScratch> scratch;
  std::optional<MpiSession> mpi;
  return guard_gang(launched, mpi, [&] {
    // A process without a launcher is a world of one and needs no MPI.
    if (launched.world_size > 1) {
      check_slurm_step();
      scratch.emplace(gang.folder);
      mpi.emplace();
    }
    const std::unique_ptr<Communicator> comm =
        mpi ? mpi->world() : std::make_unique<SingleCommunicator>();
    serve_gang(gang, *comm, descriptors, run_job);
  });
}

}  // namespace assay
