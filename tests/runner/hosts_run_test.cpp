// `assay run --hostfile`: gangs on hosts that a file names.

#include "core/file.h"
#include "tests/support/tiny_study.h"

#include <gmock/gmock.h>

namespace assay {
namespace {

using ::testing::HasSubstr;

class HostsRunTest : public ::testing::Test {
 protected:
  [[nodiscard]] CommandResult run_on(const std::string& hosts, const std::string& name) const {
    write_file_atomically(study_ / "hosts", hosts);
    const std::vector<std::string> more = {
        "--hostfile", (study_ / "hosts").string(), "--ranks", "2", "--retries", "0"};
    return study_.start(study_.run_words(more, name), mpirun_environment())->wait();
  }

  TinyStudy study_;
};

TEST_F(HostsRunTest, GangsOfAHostfileGiveTheNumbersOfOneRank) {
  const CommandResult result = run_on("localhost slots=2  # this machine\n", "w");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  ASSERT_EQ(study_.start(study_.run_words({"--ranks", "1"}, "alone"))->wait().exit_code, 0);
  EXPECT_EQ(study_.numbers(), study_.numbers("alone"));
}

TEST_F(HostsRunTest, WithAHostThatCannotBeReachedNothingIsLost) {
  const CommandResult result = run_on("no-such-host.invalid slots=2\n", "w");
  EXPECT_EQ(result.exit_code, 1) << result.err;
  // What mpirun says next depends on whether there is an ssh.
  EXPECT_THAT(result.err, HasSubstr("no gang could start: no address is known of "
                                    "no-such-host.invalid (" +
                                    (study_ / "hosts").string() + "): ended with exit code"));
  EXPECT_EQ(run_on("localhost slots=2\n", "w").exit_code, 0) << "the same command, mended";
}

}  // namespace
}  // namespace assay
