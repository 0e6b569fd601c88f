#include "runner/attempt_log.h"

#include "core/file.h"
#include "runner/job_run.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>

namespace assay {
namespace {

class AttemptLogTest : public ::testing::Test {
 protected:
  AttemptLogTest() {
    attempt_.job = "abc";
    attempt_.number = 2;
    attempt_.outcome = "running";
    attempt_.log_path = (folder_ / "abc/attempt-2/rank0.log").string();
    write_file_atomically(gang_ / "rank0.attempt.log", "what rank 0 said\n");
    write_file_atomically(gang_ / "rank1.attempt.log", "");
    given("abc", 2);
  }
  void given(const std::string& job, int number) {
    const nlohmann::json run = {{"id", job}, {"attempt", number}};
    write_file_atomically(gang_ / kRunFiles[0], run.dump());
  }

  TemporaryFolder folder_;
  std::filesystem::path gang_ = folder_ / "gangs/0";
  Attempt attempt_;
};

TEST_F(AttemptLogTest, WhatADeadGangHasPrintedIsKeptWithItsAttempt) {
  EXPECT_EQ(attempt_log(gang_, attempt_, 0), gang_ / "rank0.attempt.log");
  keep_attempt_logs(gang_, attempt_);
  EXPECT_EQ(read_file(folder_ / "abc/attempt-2/rank0.log"), "what rank 0 said\n");
  EXPECT_EQ(attempt_log(gang_, attempt_, 0), folder_ / "abc/attempt-2/rank0.log");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "abc/attempt-2/rank1.log"));
}

TEST_F(AttemptLogTest, IsNotTakenForThatOfAnotherAttempt) {
  for (const auto& [job, number] : {std::pair("abc", 1), std::pair("abd", 2)}) {
    given(job, number);
    keep_attempt_logs(gang_, attempt_);
    EXPECT_EQ(attempt_log(gang_, attempt_, 0), folder_ / "abc/attempt-2/rank0.log");
    EXPECT_FALSE(std::filesystem::exists(folder_ / "abc"));
  }
}

}  // namespace
}  // namespace assay
