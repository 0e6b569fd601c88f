#include "core/gpu.h"

#include "core/error.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;
using Visible = std::vector<std::vector<std::string>>;

TEST(Gpu, ReadsBackWhatWasWritten) {
  const Gpu gpu{
      .name = "NVIDIA H100", .uuid = "GPU-1", .memory_bytes = 1 << 30, .major = 9, .minor = 0};
  EXPECT_EQ(gpu_from_json(to_json(gpu)), gpu);
}

TEST(AssignGpus, TakesTheOwnPlaceAmongRanksThatSeeTheSame) {
  EXPECT_THAT(assign_gpus(Visible(4, {"a", "b", "c", "d"})), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(assign_gpus(Visible(2, {"a", "b", "c", "d"})), ElementsAre(0, 1));
  // Two machines.
  EXPECT_THAT(assign_gpus({{"a", "b"}, {"a", "b"}, {"c", "d"}, {"c", "d"}}),
              ElementsAre(0, 1, 0, 1));
}

TEST(AssignGpus, TakesTheFirstWhereEachRankSeesItsOwn) {
  EXPECT_THAT(assign_gpus({{"a"}, {"b"}, {"c"}, {"d"}}), ElementsAre(0, 0, 0, 0));
}

TEST(AssignGpus, SharesNoneWhereRanksSeePartsOfTheMachine) {
  EXPECT_THAT(assign_gpus({{"a", "b"}, {"a"}}), ElementsAre(1, 0));
  EXPECT_THAT(assign_gpus({{"a", "b"}, {"b", "c"}, {"a"}}), ElementsAre(1, 1, 0));
}

TEST(AssignGpus, RefusesMoreRanksThanGpus) {
  EXPECT_THAT(
      [] {
        (void)assign_gpus(Visible(3, {"a", "b"}));
      },
      ThrowsMessage<ConfigError>(
          AllOf(HasSubstr("rank 2 of 3: the 2 GPUs"), HasSubstr("fewer --ranks"))));
  EXPECT_THAT(
      [] {
        (void)assign_gpus({{"a"}, {"a"}});
      },
      ThrowsMessage<ConfigError>(HasSubstr("taken by other ranks")));
}

TEST(GpuSelectors, AreThePartsOfTheInheritedValue) {
  EXPECT_THAT(gpu_selectors(std::nullopt, 3), ElementsAre("0", "1", "2"));
  EXPECT_THAT(gpu_selectors("2,0", 2), ElementsAre("2", "0"));
  EXPECT_THAT(gpu_selectors("GPU-8932f937,GPU-1", 2), ElementsAre("GPU-8932f937", "GPU-1"));
  EXPECT_THAT(gpu_selectors("0,9,1", 1), ElementsAre("0"));  // CUDA stops at the first bad one.
  EXPECT_THAT(gpu_selectors("MIG-a,MIG-b", 1), ElementsAre("MIG-a", "MIG-b"));
  EXPECT_THAT(gpu_selectors("", 0), IsEmpty());
}

TEST(WhyNoGpu, TellsNoDriverAnOldOneAndHiddenGpusApart) {
  EXPECT_THAT(why_no_gpu(0, 13000, true, "e", {}), HasSubstr("no NVIDIA driver"));
  EXPECT_THAT(why_no_gpu(12040, 13000, true, "e", {}),
              HasSubstr("too old: it supports CUDA 12.4, expected 13.0 or newer"));
  EXPECT_THAT(why_no_gpu(13000, 13010, false, "e", "7"), HasSubstr("CUDA_VISIBLE_DEVICES is '7'"));
  EXPECT_THAT(why_no_gpu(13000, 13000, false, "e", {}), HasSubstr("the NVIDIA driver shows none"));
}

TEST(SharedMemory, IsWarnedOfWithSizeFreeBytesAndRemedy) {
  EXPECT_EQ(shared_memory_warning("/", /*least_bytes=*/1), "");
  EXPECT_EQ(shared_memory_warning("/no such folder"), "");
  EXPECT_THAT(
      shared_memory_warning("/dev/shm", std::uintmax_t{1} << 60),
      AllOf(HasSubstr("/dev/shm has "), HasSubstr(" MB of them free"), HasSubstr("--shm-size")));
}

}  // namespace
}  // namespace assay
