// `assay run --hostfile`: gangs on hosts that a file names.

#include "core/file.h"
#include "tests/support/tiny_study.h"

#include <gmock/gmock.h>

#include <csignal>

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

/// Other hosts, imitated: namespaces with names of their own, which mpirun reaches by a program in
/// the place of ssh. Their processes are this machine's, so that a test can see them.
class OtherHostRunTest : public HostsRunTest {
 protected:
  OtherHostRunTest() {
    write_file_atomically(
        agent(),
        "#!/bin/sh\n"
        "while [ \"${1#-}\" != \"$1\" ]; do shift; done\n"
        "host=$1; shift\n"
        "[ \"$host\" != lost-host ] || exit 1\n"
        "exec unshare --uts sh -c 'hostname \"$0\"; eval \"$1\"' \"$host\" \"$*\"\n");
    std::string text = read_file(study_ / "study.toml");
    text.replace(text.find("[0, 1]"), 6, "[0]");  // Four jobs.
    write_file_atomically(study_ / "study.toml", text);
    std::filesystem::permissions(agent(), std::filesystem::perms::owner_all);
  }
  void SetUp() override {
    if (study_.start({agent(), "other-host", "true"})->wait().exit_code != 0) {
      GTEST_SKIP() << "a namespace cannot be made here: " << study_.errors();
    }
  }

  [[nodiscard]] std::string agent() const { return study_ / "agent"; }
  [[nodiscard]] std::unique_ptr<RunningCommand> start_on(const std::string& hosts) const {
    write_file_atomically(study_ / "hosts", hosts);
    auto environment = mpirun_environment();
    environment["OMPI_MCA_plm_rsh_agent"] = agent();
    return study_.start(
        study_.run_words({"--hostfile", (study_ / "hosts").string(), "--ranks", "2"}), environment);
  }
  /// A process that lives, as if a rank of a gang on `host` that a dead coordinator has left.
  [[nodiscard]] std::unique_ptr<RunningCommand> stray_of(const std::string& host) const {
    auto stray =
        std::make_unique<RunningCommand>(std::vector<std::string>{"sleep", "600"}, study_ / "out");
    std::optional<ProcessIdentity> process;
    EXPECT_TRUE(eventually([&] { return (process = find_process(stray->pid())).has_value(); }));
    process->host = host;
    const std::filesystem::path folder = study_.workspace().gangs() / "3";
    write_file_atomically(folder / "rank0.json", to_json(*process).dump());
    write_file_atomically(folder / "hosts", host + ":1");
    return stray;
  }
};

TEST_F(OtherHostRunTest, AKilledRankOfAnotherHostCostsOneAttempt) {
  const auto run = start_on("other-host slots=2\n");
  const auto ranks = study_.training_ranks();
  ASSERT_EQ(ranks.size(), 2U) << study_.errors();
  EXPECT_EQ(ranks[0].host, "other-host");
  EXPECT_EQ(is_alive(ranks[0]), std::nullopt);
  ASSERT_EQ(::kill(ranks[1].pid, SIGKILL), 0);
  const CommandResult result = run->wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("its gang died"));
  for (const ProcessIdentity& rank : ranks) EXPECT_EQ(find_process(rank.pid), std::nullopt);
  EXPECT_EQ(study_.outcomes().count("done"), 4U);
}

TEST_F(OtherHostRunTest, WhatADeadCoordinatorLeftOnAnotherHostIsEndedThereFirst) {
  const auto stray = stray_of("other-host");
  const CommandResult result = start_on("other-host slots=2\n")->wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(stray->wait().exit_code, 128 + SIGKILL);
}

TEST_F(OtherHostRunTest, WithoutAnAnswerOfItsHostNothingStartsAndHostAndProcessAreNamed) {
  const auto stray = stray_of("lost-host");
  const CommandResult refused = start_on("other-host slots=2\n")->wait();
  EXPECT_EQ(refused.exit_code, 1) << refused.err;
  EXPECT_THAT(refused.err,
              HasSubstr(fmt::format("process {} of host lost-host may still live", stray->pid())));
  EXPECT_THAT(study_.outcomes(), ::testing::IsEmpty());
  EXPECT_FALSE(stray->has_ended());
  std::filesystem::remove_all(study_.workspace().gangs() / "3");  // As it says.
  EXPECT_EQ(start_on("other-host slots=2\n")->wait().exit_code, 0);
}

}  // namespace
}  // namespace assay
