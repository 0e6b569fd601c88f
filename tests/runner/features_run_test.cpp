// Features of whole programs: written by `assay encode` though it is killed (`cases.md` F01), read
// once by a gang however many jobs need them.

#include "core/digest.h"
#include "core/file.h"
#include "results/store.h"
#include "tests/support/tiny_study.h"

#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <random>
#include <thread>

namespace assay {
namespace {

/// Every file below `folder` that is no lock or half-written one: name below it and digest.
std::map<std::string, std::string> digests_below(const std::filesystem::path& folder) {
  std::map<std::string, std::string> digests;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".h5") continue;
    digests[std::filesystem::relative(entry.path(), folder)] = sha256(read_file(entry.path()));
  }
  return digests;
}

class FeaturesRunTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::unique_ptr<RunningCommand> encode(const std::string& name) const {
    return study_.start({std::string(ASSAY_BINARY_DIR) + "/assay", "encode", "clip", "--on",
                         "synth-b", "--data", small_drawings().string(), "--image-size", "64", "-w",
                         study_.workspace(name).root.string()});
  }

  /// Runs the study with trainings of these seeds; how often a file of features was opened.
  [[nodiscard]] int opens_with_seeds(const std::vector<int>& seeds) const {
    write_file_atomically(
        study_ / "study.toml",
        fmt::format("schema = 1\nname = 'tiny'\nbackbone = 'assay-tiny'\nimage_size = 64\n"
                    "train_on = 'synth-a'\ntargets = ['synth-b']\nseeds = [{}]\n[[sweep]]\n"
                    "method = 'anomalyclip'\ngrid = {{ 'train.epochs' = [1] }}\n",
                    fmt::join(seeds, ", ")));
    const Descriptor watch(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    std::error_code none;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(study_.workspace().features(), none)) {
      if (entry.path().extension() == ".h5") {
        ::inotify_add_watch(watch.get(), entry.path().c_str(), IN_OPEN);
      }
    }
    const CommandResult run =
        study_.start(study_.run_words({"--ranks", "1", "--slots", "1"}))->wait();
    EXPECT_EQ(run.exit_code, 0) << run.err;
    alignas(inotify_event) std::array<char, 1 << 16> buffer{};
    int opens = 0;
    for (;;) {
      const ssize_t size = ::read(watch.get(), buffer.data(), buffer.size());
      if (size <= 0) return opens;
      // Watches of files: events without a name.
      opens += static_cast<int>(size / static_cast<ssize_t>(sizeof(inotify_event)));
    }
  }

  TinyStudy study_;
};

TEST_F(FeaturesRunTest, EncodeKilledAtRandomMomentsGoesOnToTheSameBits) {
  const auto begun = std::chrono::steady_clock::now();
  ASSERT_EQ(encode("whole")->wait().exit_code, 0) << study_.errors();
  const std::chrono::duration<double> whole = std::chrono::steady_clock::now() - begun;
  const auto expected = digests_below(study_.workspace("whole").features());
  ASSERT_FALSE(expected.empty());
  std::mt19937 random(20240521);
  std::uniform_real_distribution<double> moment(0.3, 1.0);  // Libraries load before.
  int killed = 0;
  for (int trial = 0; trial < 20; ++trial) {
    std::filesystem::remove_all(study_.workspace().root);
    const auto disturbed = encode("w");
    std::this_thread::sleep_for(moment(random) * whole);
    disturbed->send(SIGKILL);
    killed += disturbed->wait().exit_code == 128 + SIGKILL ? 1 : 0;
    const CommandResult again = encode("w")->wait();
    ASSERT_EQ(again.exit_code, 0) << again.err;
    ASSERT_EQ(digests_below(study_.workspace().features()), expected) << "trial " << trial;
  }
  EXPECT_GT(killed, 5);
}

TEST_F(FeaturesRunTest, AGangOpensThemOnceForAllItsJobs) {
  static_cast<void>(opens_with_seeds({0}));  // Encodes.
  const int by_one_training = opens_with_seeds({0, 1});
  EXPECT_GT(by_one_training, 0);
  EXPECT_EQ(opens_with_seeds({0, 1, 2, 3, 4, 5}), by_one_training);
}

}  // namespace
}  // namespace assay
