// `assay metrics` as people type it.

#include "core/file.h"
#include "tests/support/command.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <cstring>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class MetricsCommand : public testing::Test {
 protected:
  CommandResult metrics(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {std::string(ASSAY_BINARY_DIR) + "/assay", "metrics"});
    return RunningCommand(arguments, folder_.path()).wait();
  }
  // Two maps of 2 x 2, the second anomalous, byte by byte as the format's specification says.
  std::string two_images(const std::vector<float>& map = {.1F, .4F, .2F, .3F, .1F, .2F, .9F, .4F}) {
    std::string data(map.size() * 4, '\0');
    std::memcpy(data.data(), map.data(), data.size());
    data += std::string("\0\0\0\0\0\0\1\1", 8);
    const std::string header = R"({"map":{"dtype":"F32","shape":[2,2,2],"data_offsets":[0,32]},)"
                               R"("mask":{"dtype":"U8","shape":[2,2,2],"data_offsets":[32,40]}}  )";
    std::string length(8, '\0');
    length[0] = static_cast<char>(header.size());
    const std::string path = folder_ / "maps.safetensors";
    write_file_atomically(path, length + header + data);
    return path;
  }

  TemporaryFolder folder_;
};

TEST_F(MetricsCommand, PrintsValuesCountsThresholdAndTime) {
  const CommandResult result = metrics({two_images()});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("pixels 8: 6 normal, 2 anomalous in 1 region (8-connected), "
                                    "2 x 2 an image"));
  EXPECT_THAT(result.out, HasSubstr("pixel  AUROC        0.958333"));  // 11.5 of 12 pairs.
  EXPECT_THAT(result.out, HasSubstr("image  AUROC        undefined  no_scores"));
  EXPECT_THAT(result.out, HasSubstr("at scores >= 0.4"));
  EXPECT_THAT(result.out, HasSubstr("exact, 1 thread: masks "));
}

TEST_F(MetricsCommand, WritesUndefinedValuesAsNullForMachines) {
  const CommandResult result = metrics({two_images(), "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json json = nlohmann::json::parse(result.out);
  EXPECT_DOUBLE_EQ(json.at("pixel").at("auroc").get<double>(), 11.5 / 12);
  EXPECT_FLOAT_EQ(json.at("pixel").at("f1max_threshold").get<float>(), 0.4F);
  EXPECT_TRUE(json.at("image").at("auroc").is_null());
  EXPECT_EQ(json.at("pixel").at("num_regions"), 1);
  EXPECT_GE(json.at("seconds").at("pixels").get<double>(), 0);
}

TEST_F(MetricsCommand, PrintsBoundsOfTheBinnedAlgorithm) {
  const CommandResult result =
      metrics({two_images(), "--algorithm", "binned", "--threads", "2", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json json = nlohmann::json::parse(result.out);
  EXPECT_LE(json.at("brackets").at("auroc").at(0).get<double>(), 11.5 / 12);
  EXPECT_GE(json.at("brackets").at("auroc").at(1).get<double>(), 11.5 / 12);
  EXPECT_EQ(json.at("threads"), 2);
  const CommandResult text = metrics({two_images(), "--algorithm", "binned"});
  EXPECT_THAT(text.out, AllOf(HasSubstr("exact: 0.9"), HasSubstr("binned, 1 thread: ")));
}

TEST_F(MetricsCommand, ShowsHowToWriteTheFileFromNumPy) {
  const CommandResult result = metrics({"--help"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, AllOf(HasSubstr("from safetensors.numpy import save_file"),
                                HasSubstr("assay metrics maps.safetensors")));
}

TEST_F(MetricsCommand, EndsWithTwoOnWrongInput) {
  const std::string whole = two_images();
  const std::string other = folder_ / "maps.npy";
  write_file_atomically(other, "\x93NUMPY\x01 and so on");
  const std::string bad = two_images({.1F, .4F, .2F, .3F, .1F, std::nanf(""), .9F, .4F});
  for (const auto& [arguments, message] :
       std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{other}, other + ": this is a NumPy array (.npy), not safetensors"},
           {{bad}, bad + ": the map of image 1 is nan at row 0, column 1"},
           {{"/nowhere.safetensors"}, "/nowhere.safetensors: cannot be opened"},
           {{folder_.path()}, folder_.path().string() + ": is a folder, expected a file"},
           {{whole, "--limit", "0"}, "--limit: 0 is not in (0, 1]"},
           {{whole, "--algorithm", "fast"}, "--algorithm: fast not in {exact,binned}"},
           {{whole, "--threads", "0"}, "--threads: Value 0 not in range 1 to 1024"},
           {{whole, "--aupimo-bounds", "0.1", "0.1"}, "expected 0 < LOWER < UPPER <= 1"},
           {{whole, "--connectivity", "6"}, "--connectivity"},
           {{}, "FILE"}}) {
    const CommandResult result = metrics(arguments);
    EXPECT_EQ(result.exit_code, 2) << message;
    EXPECT_EQ(result.out, "") << message;
    EXPECT_THAT(result.err, HasSubstr(message));
  }
}

}  // namespace
}  // namespace assay
