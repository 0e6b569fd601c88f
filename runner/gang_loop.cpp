#include "runner/gang_loop.h"

#include "core/comm/agree.h"
#include "core/comm/mpi_communicator.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/file.h"
#include "runner/channel.h"
#include "runner/control_input.h"
#include "runner/rank_start.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>

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

  void send(const nlohmann::json& event) {
    if (writer_) writer_->send(event);
  }

  void progress(const std::string& job, nlohmann::json event) {
    const auto now = std::chrono::steady_clock::now();
    if (!writer_ || now - last_progress_ < kProgressInterval) return;
    last_progress_ = now;
    event["event"] = "progress";
    event["job"] = job;
    writer_->send(event);
  }

 private:
  std::optional<MessageWriter> writer_;
  std::chrono::steady_clock::time_point last_progress_;
};

/// How rank 0 passes a stop on to ranks that do not communicate for a while (each encodes shards of
/// its own): a file in the gang's folder.
class StopFile {
 public:
  explicit StopFile(const std::filesystem::path& folder) : path_(folder / "stop") {}

  [[nodiscard]] bool exists() const { return ::access(path_.c_str(), F_OK) == 0; }
  bool make() const {
    std::ofstream(path_).put('\n');
    return true;
  }

 private:
  std::filesystem::path path_;
};

/// Cut to fit the channel, at the start of a UTF-8 character.
std::string cut(std::string text) {
  if (text.size() <= kErrorBytes) return text;
  std::size_t size = kErrorBytes;
  while ((static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  return text.substr(0, size) + " ...";
}

void run_one(const nlohmann::json& command,
             const GangRank& gang,
             Communicator& comm,
             Events& events,
             const std::function<bool()>& should_stop,
             const RunJob& run_job) {
  const std::string job = command.at("job");
  const std::filesystem::path file = command.at("file").get<std::string>();
  events.send({{"event", "started"}, {"job", job}, {"pid", ::getpid()}});
  JobControl control{comm, [&](const nlohmann::json& progress) { events.progress(job, progress); },
                     should_stop};
  try {
    nlohmann::json run;
    agree(comm, [&] {
      log_to(file.parent_path(), comm.rank());
      const std::string text = read_file(file);
      if (sha256(text) != command.at("sha256")) throw DataError("{}: is damaged", file.string());
      run = nlohmann::json::parse(text);
    });
    const JobEnd end = run_job(run, control);
    comm.barrier();  // Done is what all ranks have done.
    events.send({{"event", end == JobEnd::kDone ? "done" : "interrupted"}, {"job", job}});
  } catch (const JobError& error) {
    fmt::print(stderr, "[job {} rank {}/{}] failed: {}\n", job.substr(0, 8), comm.rank(),
               comm.world_size(), error.what());
    events.send({{"event", "failed"}, {"job", job}, {"error", cut(error.what())}});
  }
  log_to(gang.folder, comm.rank());
}

}  // namespace

int run_gang(const GangRank& gang, const RunJob& run_job) {
  const LaunchedRank launched = launched_rank();
  ::signal(SIGPIPE, SIG_IGN);
  const ControlDescriptors descriptors = start_rank(gang.folder, launched.rank);
  std::optional<MpiSession> mpi;
  std::optional<ControlInput> input;  // Outlives an exception: its thread is still reading.
  try {
    // A process without a launcher is a world of one and needs no MPI.
    if (launched.world_size > 1) mpi.emplace();
    const std::unique_ptr<Communicator> comm =
        mpi ? mpi->world() : std::make_unique<SingleCommunicator>();
    if (comm->world_size() != gang.ranks) {
      throw CommError(
          "this gang has {} ranks, {} were asked for: mpirun and the MPI library of "
          "this build do not belong together; try ASSAY_MPIRUN=...",
          comm->world_size(), gang.ranks);
    }
    Events events(descriptors.events.get());
    if (comm->rank() == 0) input.emplace(descriptors.input.get());
    const StopFile stop_file(gang.folder);
    const auto should_stop = [&] {
      return input ? input->stop_requested() && stop_file.make() : stop_file.exists();
    };
    nlohmann::json ready = gang.facts ? gang.facts() : nlohmann::json::object();
    ready.update({{"event", "ready"}, {"ranks", comm->world_size()}, {"pid", ::getpid()}});
    events.send(ready);
    for (;;) {
      const std::string text =
          broadcast_text(*comm, comm->rank() == 0 ? input->wait().dump() : std::string());
      const nlohmann::json command = nlohmann::json::parse(text);
      if (command.at("do") == "end") return 0;
      run_one(command, gang, *comm, events, should_stop, run_job);
    }
  } catch (const std::exception& error) {
    // The peers wait in a collective call that this rank will never join: end them too.
    fmt::print(stderr, "[rank {}/{}] the gang ends: {}\n", launched.rank, launched.world_size,
               error.what());
    std::fflush(nullptr);
    if (mpi) MpiSession::abort(1);
    std::_Exit(1);
  }
}

}  // namespace assay
