#include "runner/beat.h"

#include "runner/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

namespace assay {
namespace {

constexpr std::size_t kRecordBytes = 512;
constexpr std::string_view kComputing = "computing";

}  // namespace

Beat::Beat(const std::filesystem::path& folder, int rank)
    : rank_(rank), host_(this_process().host), pid_(::getpid()) {
  const std::filesystem::path path = folder / fmt::format("rank{}.beat", rank);
  file_ = Descriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  write();
}

void Beat::start_job() {
  operation_ = kComputing;
  sequence_ = ticks_ = 0;
  write();
}

void Beat::enter(std::string_view operation) {
  operation_ = operation;
  ++sequence_;
  tick();
}

void Beat::leave() {
  operation_ = kComputing;
  tick();
}

void Beat::tick() {
  ++ticks_;
  write();
}

void Beat::write() {
  if (!file_) return;
  std::string record =
      fmt::format(R"({{"rank":{},"host":"{}","pid":{},"operation":"{}","sequence":{},"ticks":{}}})",
                  rank_, host_, pid_, operation_, sequence_, ticks_);
  record.resize(kRecordBytes, ' ');
  record.back() = '\n';
  static_cast<void>(::pwrite(file_.get(), record.data(), record.size(), 0));
}

std::vector<RankBeat> read_beats(const std::filesystem::path& folder) {
  std::vector<RankBeat> beats;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(folder, missing)) {
    if (entry.path().extension() != ".beat") continue;
    const auto json = nlohmann::json::parse(read_file(entry.path()), nullptr, false);
    try {
      RankBeat beat{.rank = json.at("rank"),
                    .host = json.at("host"),
                    .pid = json.at("pid"),
                    .operation = json.at("operation"),
                    .sequence = json.at("sequence"),
                    .ticks = json.at("ticks")};
      beat.stopped = beat.host == this_process().host && is_stopped(beat.pid);
      beats.push_back(std::move(beat));
    } catch (const nlohmann::json::exception&) {
      // Read while it was written: it moves.
    }
  }
  std::ranges::sort(beats, {}, &RankBeat::rank);
  return beats;
}

}  // namespace assay
