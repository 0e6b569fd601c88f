// A worker whose jobs do what a test wants to see: {"act": ..., ...} in the spec.

#include "core/comm/agree.h"
#include "core/error.h"
#include "runner/gang_loop.h"

#include <sched.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>

int main(int argc, char** argv) {
  using namespace assay;
  if (argc < 4) return 2;
  GangRank gang{.folder = argv[2], .ranks = std::atoi(argv[3])};
  for (int i = 4; i < argc; ++i) gang.cores.push_back(std::atoi(argv[i]));
  return run_gang(gang, [&](const nlohmann::json& run, JobControl& control) {
    const std::string act = run.at("act");
    const bool last = control.comm.rank() + 1 == control.comm.world_size();
    if (act == "print") std::puts("a library prints to standard output");
    if (act == "fail")
      agree(control.comm, [&] {
        if (last) throw DataError("a.png: truncated");
      });
    if (act == "throw" && last) throw std::runtime_error("one rank alone");
    if (act == "memory" && last) throw std::bad_alloc();
    if (act == "kill" && last) ::raise(SIGKILL);
    if (act == "hang" && last) ::raise(SIGSTOP);
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
    return JobEnd::kDone;
  });
}
