// What people see of GPUs on a machine that has none, and what can be tried there of the rest.

#include "core/error.h"
#include "core/file.h"
#include "runner/gpu_probe.h"
#include "runner/precision.h"
#include "runner/resources.h"
#include "tests/support/command.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <sstream>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

const std::filesystem::path kBuild = ASSAY_BINARY_DIR;

bool has_gpu() { return std::filesystem::exists("/dev/nvidiactl"); }
bool has_library() { return std::filesystem::exists(kBuild / "libassay_cuda.so"); }

class GpuTest : public ::testing::Test {
 protected:
  CommandResult run(const std::vector<std::string>& command,
                    const std::map<std::string, std::string>& environment = {}) {
    const auto out = folder_ / std::to_string(number_++);
    std::filesystem::create_directories(out);
    return RunningCommand(command, out, environment).wait();
  }
  CommandResult assay(std::vector<std::string> arguments,
                      const std::map<std::string, std::string>& environment = {}) {
    arguments.insert(arguments.begin(), kBuild / "assay");
    return run(arguments, environment);
  }

  std::string study(const std::string& extra = "") {
    const auto path = folder_ / "s.toml";
    write_file_atomically(path, "schema = 1\nname = 's'\nbackbone = 'assay-tiny'\n" + extra +
                                    "data = 'data'\ntrain_on = 'synth-a'\ntargets = ['synth-b']\n"
                                    "[[sweep]]\nmethod = 'faprompt:paper'\n");
    return path;
  }

  TemporaryFolder folder_;
  int number_ = 0;
};

TEST_F(GpuTest, AStudyOnGpusIsRefusedBeforeAnythingRunsWhereThereIsNone) {
  if (has_gpu() || !has_library()) GTEST_SKIP() << "needs the CUDA library and no GPU";
  const std::string workspace = folder_ / "w";
  const auto result = assay({"run", study(), "--device", "cuda", "-w", workspace});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, AllOf(HasSubstr("this machine has no NVIDIA driver"),
                                HasSubstr("leave out --device cuda")));
  EXPECT_FALSE(std::filesystem::exists(workspace));
}

TEST_F(GpuTest, ARunOnRanksThatMpirunHasStartedIsRefusedAsWell) {
  if (has_gpu() || !has_library()) GTEST_SKIP() << "needs the CUDA library and no GPU";
  const auto result = run({"mpirun", "-np", "2", kBuild / "assay", "run", study(), "--device",
                           "cuda", "-w", folder_ / "w"},
                          mpirun_environment());
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("no NVIDIA driver"));
}

TEST_F(GpuTest, AJobByHandIsRefusedOnOneRankAndOnSeveral) {
  if (has_gpu() || !has_library()) GTEST_SKIP() << "needs the CUDA library and no GPU";
  const std::vector<std::string> train = {kBuild / "assay", "train",    "faprompt:paper",
                                          "--train-on",     "synth-a",  "--data",
                                          "data",           "--device", "cuda"};
  const auto alone = run(train);
  EXPECT_EQ(alone.exit_code, 2);
  EXPECT_THAT(alone.err, HasSubstr("assay: error: no GPU: this machine has no NVIDIA driver"));
  std::vector<std::string> several = {"mpirun", "-np", "2"};
  several.insert(several.end(), train.begin(), train.end());
  const auto both = run(several, mpirun_environment());
  EXPECT_NE(both.exit_code, 0);
  EXPECT_THAT(both.err, HasSubstr("no NVIDIA driver"));
}

TEST_F(GpuTest, ABuildWithoutTheCudaLibrarySaysWhatToInstall) {
  for (const char* program : {"assay", "assay-worker"}) {
    std::filesystem::copy_file(kBuild / program, folder_ / program);
  }
  const auto result = run({folder_ / "assay", "train", "faprompt:paper", "--train-on", "synth-a",
                           "--data", "data", "--device", "cuda"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, AllOf(HasSubstr("this build has no CUDA library"),
                                HasSubstr("install the CUDA toolkit and NCCL")));
}

// NVIDIA's stub of the driver, which images for building have: there is a libcuda, and no driver.
TEST_F(GpuTest, TheStubOfTheDriverIsNoDriver) {
  const std::filesystem::path stub = "/usr/local/cuda/lib64/stubs/libcuda.so";
  if (has_gpu() || !has_library() || !std::filesystem::exists(stub)) {
    GTEST_SKIP() << "needs the CUDA library, NVIDIA's stub and no GPU";
  }
  std::filesystem::create_symlink(stub, folder_ / "libcuda.so.1");
  const auto result = run({kBuild / "assay-worker", "gpus", "--json"},
                          {{"LD_LIBRARY_PATH", folder_.path().string()}});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.out, AllOf(HasSubstr(R"({"error":")"), HasSubstr("stub")));
}

TEST_F(GpuTest, TheDoctorSaysThatThereIsNoGpuAndFails) {
  if (has_gpu() || !has_library()) GTEST_SKIP() << "needs the CUDA library and no GPU";
  const auto text = assay({"doctor", "--gpus"});
  EXPECT_EQ(text.exit_code, 1);
  EXPECT_THAT(text.out,
              AllOf(HasSubstr("MISSING GPUs"), HasSubstr("no NVIDIA driver"), HasSubstr("-> ")));
  const auto report = nlohmann::json::parse(assay({"doctor", "--gpus", "--json"}).out);
  ASSERT_EQ(report.size(), 1U);
  EXPECT_EQ(report[0]["good"], false);
}

// A worker that says what `says` has, in the place of ours.
TEST_F(GpuTest, TheDoctorBelievesAComparisonOnlyWhereItCameToItsEnd) {
  const auto assay_copy = folder_ / "assay";
  std::filesystem::copy_file(kBuild / "assay", assay_copy);
  const auto doctor = [&](const std::string& comparison) {
    const auto worker = folder_ / "assay-worker";
    write_file_atomically(worker,
                          "#!/bin/sh\necho NCCL version 2.28.9\ncase \"$*\" in\n*--json*) echo '" +
                              nlohmann::json{{"gpus", {to_json(Gpu{.name = "G", .uuid = "GPU-1"})}},
                                             {"versions", "CUDA 13.0"}}
                                  .dump() +
                              "';;\n*) " + comparison + ";;\nesac\n");
    std::filesystem::permissions(worker, std::filesystem::perms::owner_all);
    return run({assay_copy, "doctor", "--gpus"});
  };
  const std::string finding = R"(echo '{"what":"sum over ranks","good":true,"found":"equal"}')";
  const CommandResult died = doctor(finding + "; exit 1");
  EXPECT_EQ(died.exit_code, 1) << died.out;
  EXPECT_THAT(died.out, HasSubstr("ended with exit code 1 after 'sum over ranks'"));
  EXPECT_THAT(died.err, HasSubstr("NCCL version 2.28.9")) << "what is not ours is passed on";
  const CommandResult whole = doctor(finding + R"(; echo '{"end":true}')");
  EXPECT_EQ(whole.exit_code, 0) << whole.out << whole.err;
  EXPECT_THAT(whole.out, HasSubstr("equal"));
}

// The comparison with the CPU, of the CPU with itself: what it sums, encodes and trains agrees.
TEST_F(GpuTest, TheComparisonOfADeviceWithTheCpuHoldsForTheCpu) {
  const auto result =
      run({"mpirun", "-np", "2", kBuild / "assay-worker", "gpus", "--check", "--device", "cpu"},
          mpirun_environment());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::map<std::string, std::string> found;
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) {
    const auto finding = nlohmann::json::parse(line);
    if (finding.contains("end")) break;
    EXPECT_TRUE(finding["good"]) << line;
    found[finding["what"]] = finding["found"];
  }
  EXPECT_THAT(found["sums over 2 ranks"], HasSubstr("equal to MPI's"));
  EXPECT_THAT(found["encoded images, fp32"], HasSubstr("0.0e+00 off the CPU's"));
  EXPECT_THAT(found["encoded images, bf16"], Not(HasSubstr("0.0e+00 off")));
  EXPECT_THAT(found["training, fp32"], HasSubstr("ms a step"));
  EXPECT_THAT(found["tf32"], HasSubstr("a CPU has no TF32"));
}

TEST_F(GpuTest, ACpuRefusesTf32ByNameBeforeAnythingRuns) {
  const auto result = assay({"run", study("precision = 'tf32'\n"), "-w", folder_ / "w"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("s.toml: precision tf32: a CPU has no TF32"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "w"));
}

TEST_F(GpuTest, AJobByHandOnACpuRefusesTf32ByName) {
  const auto result = assay({"train", "faprompt:paper", "--train-on", "synth-a", "--data", "data",
                             "--precision", "tf32"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("assay: error: precision tf32: a CPU has no TF32"));
}

TEST(Precision, IsRefusedWhereTheDeviceLacksIt) {
  const Gpu volta{.name = "Tesla V100", .uuid = "", .memory_bytes = 0, .major = 7, .minor = 0};
  const Gpu hopper{.name = "H100", .uuid = "", .memory_bytes = 0, .major = 9, .minor = 0};
  EXPECT_EQ(why_not("fp32", &volta), "");
  EXPECT_EQ(why_not("fp32", nullptr), "");
  EXPECT_EQ(why_not("bf16", nullptr), "");
  EXPECT_EQ(why_not("tf32", &hopper), "");
  for (const char* precision : {"tf32", "bf16"}) {
    EXPECT_THAT(why_not(precision, &volta),
                HasSubstr("Tesla V100 has compute capability 7.0, expected 8.0 or newer"));
  }
  EXPECT_THAT([] { check_precision("tf23"); },
              ThrowsMessage<ConfigError>(HasSubstr("did you mean 'tf32'?")));
}

TEST(GpuCount, IsOneARankAndMigInstancesAreForSingleRanks) {
  const std::vector<std::string> four = {"3", "1", "GPU-a", "0"};
  check_gpu_count(four, 2, 4, 1);
  EXPECT_THAT([&] { check_gpu_count(four, 2, 6, 1); },
              ThrowsMessage<ConfigError>(HasSubstr("6 ranks on 4 GPUs")));
  check_gpu_count({"MIG-a", "MIG-b"}, 1, 2, 1);
  EXPECT_THAT(
      [] {
        check_gpu_count({"MIG-a", "MIG-b"}, 2, 2, 1);
      },
      ThrowsMessage<ConfigError>(HasSubstr("use --ranks 1")));
}

std::vector<std::string> devices_of(const Resources& resources) {
  std::vector<std::string> devices;
  for (const Slot& slot : resources.slots) devices.push_back(slot.device);
  return devices;
}

TEST(GpuSharing, GivesEachGpuToOneGangUnlessMoreAreAskedFor) {
  const std::vector<std::string> gpus = {"GPU-a", "3"};
  EXPECT_THAT(devices_of(find_resources({}, gpus)), ElementsAre("GPU-a", "3"));
  ResourceArguments shared;
  shared.gangs_per_gpu = 2;
  EXPECT_THAT(devices_of(find_resources(shared, gpus)), ElementsAre("GPU-a", "3", "GPU-a", "3"));
  shared.slots = 3;
  const Resources three = find_resources(shared, gpus);
  EXPECT_THAT(devices_of(three), ElementsAre("GPU-a", "3", "GPU-a"))
      << "each has its first gang before one has its second";
  EXPECT_EQ(three.ranks, 1);
  shared.slots = 5;
  EXPECT_THAT(
      [&] { static_cast<void>(find_resources(shared, gpus)); },
      ThrowsMessage<ConfigError>(HasSubstr("5 ranks on 2 GPUs, expected at most 2 on each")));
}

TEST_F(GpuTest, SharingIsRefusedWhereNobodyWouldHeedIt) {
  const auto refusal = [&](std::vector<std::string> words,
                           const std::map<std::string, std::string>& environment = {}) {
    words.insert(words.begin(), {"run", study(), "-w", folder_ / "w", "--gangs-per-gpu", "2"});
    const auto result = assay(words, environment);
    EXPECT_EQ(result.exit_code, 2);
    return result.err;
  };
  EXPECT_THAT(refusal({}), HasSubstr("--gangs-per-gpu 2: only --device cuda has GPUs"));
  EXPECT_THAT(refusal({"--device", "cuda", "--ranks", "2"}),
              HasSubstr("NCCL joins no two ranks on one GPU"));
  EXPECT_THAT(refusal({"--device", "cuda", "--launcher", "slurm"}),
              HasSubstr("Slurm deals the GPUs, one to each rank; leave it out, or use --launcher "
                        "local within an allocation of one node"));
  EXPECT_THAT(
      refusal({"--device", "cuda"}, {{"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_RANK", "0"}}),
      HasSubstr("mpirun deals the GPUs"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "w"));
}

}  // namespace
}  // namespace assay
