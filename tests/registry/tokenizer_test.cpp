#include "registry/tokenizer.h"

#include "core/error.h"
#include "core/file.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>

#include <ctime>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::filesystem::path kMerges =
    std::filesystem::path(ASSAY_SOURCE_DIR) / ".deps/clip/bpe_simple_vocab_16e6.txt.gz";

const Tokenizer& tokenizer() {
  static const Tokenizer instance(kMerges);
  return instance;
}

std::string repeat(const std::string& word, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += word;
  return text;
}

TEST(Tokenizer, GivesTheReferenceIds) {  // spec/methods-baselines.md 1.5.
  const std::vector<std::pair<std::string, std::vector<std::int64_t>>> reference = {
      {"x", {343}},
      {"X", {343}},
      {"N", {333}},
      {"an object", {550, 14115}},
      {"damaged.", {13568, 269}},
      {"normal", {5967}},
      {"anomalous", {21612, 526, 879}},
      {"abnormal", {40934}},
      {"flawless", {15531}},
      {"unblemished", {569, 1447, 714, 1492}},
      {"imperfect", {46034}},
      {"a photo of", {320, 1125, 539}},
      {"metal nut", {4044, 6491}},
      {"metal_nut", {4044, 318, 6491}},
      {"macaroni1", {41824, 272}},
      {"pipe fryum", {10459, 936, 7259}},
      {"01", {271, 272}},
      {"Class1", {1874, 272}},
      {"Woven_001", {19830, 318, 271, 271, 272}},
      {"thyroid", {32558}},
      {"chewinggum", {983, 8141, 11235}},
      {"electrical commutators", {12176, 9561, 37206}},
      {"a photo of a metal_nut.", {320, 1125, 539, 320, 4044, 318, 6491, 269}}};  // Case T02.
  for (const auto& [text, ids] : reference) EXPECT_EQ(tokenizer().encode(text), ids) << text;
}

TEST(Tokenizer, SpendsOneTokenOnEachDigit) {  // Case T01.
  std::string batch = "batch";
  for (int i = 10; i < 40; ++i) batch += " " + std::to_string(i);
  EXPECT_EQ(tokenizer().encode_prompt(batch).size(), 63U);
  EXPECT_THAT(
      [] {
        (void)tokenizer().encode_prompt("a photo of lot " + repeat("7", 72) + " with a scratch");
      },
      ThrowsMessage<ConfigError>(AllOf(HasSubstr("81 > 77"), HasSubstr("a photo of lot 7777"))));
}

TEST(Tokenizer, NeverCutsUnlessAskedAndThenKeepsTheEnd) {  // Case T02.
  const std::string text = repeat("x ", 80);
  EXPECT_THROW((void)tokenizer().encode_prompt(text), ConfigError);
  const auto ids = tokenizer().encode_prompt(text, /*cut=*/true);
  ASSERT_EQ(ids.size(), 77U);
  EXPECT_EQ(ids.front(), Tokenizer::kStart);
  EXPECT_EQ(ids.back(), Tokenizer::kEnd);
  EXPECT_EQ(std::ranges::count(ids, 343), 75);
}

TEST(Tokenizer, TakesSpecialTokensWhole) {
  EXPECT_THAT(tokenizer().encode("<|startoftext|>x<|endoftext|>"), ElementsAre(49406, 343, 49407));
}

TEST(Tokenizer, OfNothingIsNothing) {
  EXPECT_TRUE(tokenizer().encode(" \t\n").empty());
  EXPECT_THAT(tokenizer().encode_prompt(""), ElementsAre(49406, 49407));
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  EXPECT_THAT([] { (void)tokenizer().encode("caf\xE9"); },
              ThrowsMessage<ConfigError>(HasSubstr("not UTF-8 at byte 3")));
}

TEST(Tokenizer, NamesWhatInstallsAMissingOrDifferentFile) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { Tokenizer(folder / "none.gz"); },
              ThrowsMessage<DataError>(AllOf(HasSubstr("none.gz"), HasSubstr("tools/setup.sh"))));
  write_file_atomically(folder / "other.gz", "not it");
  EXPECT_THAT([&] { Tokenizer(folder / "other.gz"); },
              ThrowsMessage<DataError>(AllOf(HasSubstr("SHA-256"), HasSubstr("924691ac"))));
}

TEST(Tokenizer, IsMadeInAFractionOfASecond) {
  const std::clock_t start = std::clock();  // Of this process, whatever else the machine does.
  const Tokenizer made(kMerges);
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 0.2);
}

}  // namespace
}  // namespace assay
