#include "runner/launcher.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <map>

namespace assay {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

using Variables = std::map<std::string, std::string>;

/// Sets variables for as long as it lives.
class Environment {
 public:
  explicit Environment(Variables values) : values_(std::move(values)) {
    for (const auto& [name, value] : values_) ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() {
    for (const auto& [name, value] : values_) ::unsetenv(name.c_str());
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  Variables values_;
};

TEST(Launcher, WhatAPersonAddsIsPassedOnToMpirun) {
  const Environment named(Variables{{"ASSAY_MPIRUN", "/opt/mpi/bin/mpirun"}});
  const Launcher launcher{.arguments = {"--mca", "btl", "self,tcp"}};
  EXPECT_THAT(launcher_command(launcher, {Slot{}, Slot{}}, "step"),
              ElementsAre("/opt/mpi/bin/mpirun", "-np", "2", "--mca", "btl", "self,tcp"));
  EXPECT_THAT(launcher_command(launcher, {{.host = "b"}, {.host = "a"}, {.host = "a"}}, "step"),
              ElementsAre("/opt/mpi/bin/mpirun", "-np", "3", "--host", "b:1,a:2", "--mca", "btl",
                          "self,tcp"));
  EXPECT_THAT(launcher_command(launcher, {Slot{}}, "step"), IsEmpty()) << "needs no launcher";
}

TEST(Launcher, TheRanksOfAnOuterLauncherAreNotTakenForTheGangs) {
  const Environment outer(Variables{{"OMPI_COMM_WORLD_RANK", "3"},
                                    {"OMPI_COMM_WORLD_SIZE", "4"},
                                    {"OMPI_MCA_ess_base_jobid", "17"},
                                    {"OMPI_MCA_orte_hnp_uri", "17.0;tcp://10.0.0.1:1"},
                                    {"PMIX_RANK", "3"},
                                    {"PMI_RANK", "3"},
                                    {"SLURM_JOB_ID", "4711"},
                                    {"SLURM_NTASKS", "8"},
                                    {"SLURM_STEP_ID", "2"},
                                    {"OMPI_MCA_btl_tcp_if_include", "eth1"}});
  const auto of_mpirun = launcher_environment({});
  for (const char* gone :
       {"OMPI_COMM_WORLD_", "OMPI_MCA_ess_", "OMPI_MCA_orte_", "PMIX_", "PMI_", "SLURM_"}) {
    EXPECT_THAT(of_mpirun, Not(Contains(StartsWith(gone))));
  }
  EXPECT_THAT(of_mpirun, Contains("OMPI_MCA_btl_tcp_if_include=eth1")) << "a person's own";

  const auto of_slurm = launcher_environment({.kind = Launcher::Kind::kSlurm});
  for (const char* gone : {"OMPI_COMM_WORLD_", "PMIX_", "SLURM_NTASKS=", "SLURM_STEP_ID="}) {
    EXPECT_THAT(of_slurm, Not(Contains(StartsWith(gone))));
  }
  EXPECT_THAT(of_slurm, Contains("SLURM_JOB_ID=4711")) << "srun finds its allocation by it";
}

TEST(Launcher, WhatContainersNeedIsADefaultThatAPersonMayChange) {
  const std::string name = "OMPI_MCA_btl_vader_single_copy_mechanism=";
  EXPECT_THAT(launcher_environment({}), Contains(name + "none"));
  const Environment own(Variables{{"OMPI_MCA_btl_vader_single_copy_mechanism", "cma"}});
  EXPECT_THAT(launcher_environment({}), Contains(name + "cma"));
  EXPECT_THAT(launcher_environment({}), Not(Contains(name + "none")));
}

}  // namespace
}  // namespace assay
