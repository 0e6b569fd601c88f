// A worker whose jobs do what a test wants to see: {"act": ...} in the spec.

#include "core/comm/agree.h"
#include "core/error.h"
#include "core/file.h"
#include "runner/gang_loop.h"
#include "runner/job_run.h"

#include <CLI/CLI.hpp>
#include <sched.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

namespace {

using namespace assay;

/// Hangs at a job's first attempt; the second one fares better.
void hang(const std::string& act, bool last) {
  if (act == "hang" && last) ::raise(SIGSTOP);
  for (volatile bool forever = act == "spin" && last; forever;) continue;
}

void leave_result(const nlohmann::json& run, Communicator& comm) {
  agree(comm, [] {});  // All have come so far.
  agree(comm, [&] {
    if (comm.rank() != 0) return;
    const JobRun job = job_run_from_json(run);
    const nlohmann::json result = {{"id", job.id}, {"attempt", job.attempt}, {"spec", job.spec}};
    write_file_atomically(job.result(), result.dump());
  });
}

JobEnd run_act(const nlohmann::json& run, JobControl& control) {
  const std::string act = run.at("spec").at("act");
  const bool last = control.comm.rank() + 1 == control.comm.world_size();
  if (run.value("attempt", 1) == 1) {
    hang(act, last);
    if (act == "part" && last) return JobEnd::kDone;  // The others wait in another call.
  }
  if (act == "print") std::puts("a library prints to standard output");
  if (act == "fail")
    agree(control.comm, [&] {
      if (last) throw DataError("a.png: truncated");
    });
  if (act == "throw" && last) throw std::runtime_error("one rank alone");
  if (act == "memory" && last) throw std::bad_alloc();
  if (act == "kill" && last) ::raise(SIGKILL);
  if (act == "where") {
    cpu_set_t set;
    ::sched_getaffinity(0, sizeof set, &set);
    std::printf("%d CPU: %d\n", CPU_COUNT(&set), ::sched_getcpu());
  }
  if (act == "wait") {
    while (!any_rank(control.comm, control.should_stop())) control.progress({{"done", 1}});
    return JobEnd::kInterrupted;
  }
  if (act == "wait alone") {  // No rank hears of the others.
    while (!control.should_stop()) ::usleep(1000);
    return JobEnd::kInterrupted;
  }
  if (act == "read")
    agree(control.comm, [&] {
      if (std::getchar() != EOF) throw JobError("input");
    });
  if (run.contains("workspace")) leave_result(run, control.comm);
  return JobEnd::kDone;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app;
  GangRank rank;
  CLI::App* gang = app.add_subcommand("gang");
  gang->add_option("--folder", rank.folder);
  gang->add_option("--ranks", rank.ranks);
  gang->add_option("--cores", rank.cores)->delimiter(',');
  CLI11_PARSE(app, argc, argv);
  return run_gang(rank, run_act);
}
