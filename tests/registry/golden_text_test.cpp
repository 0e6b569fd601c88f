#include "core/file.h"
#include "registry/tokenizer.h"
#include "tests/support/golden.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

namespace assay {
namespace {

const Tokenizer& tokenizer() {
  static const Tokenizer instance(std::filesystem::path(ASSAY_SOURCE_DIR) /
                                  ".deps/clip/bpe_simple_vocab_16e6.txt.gz");
  return instance;
}

TEST(GoldenTokenizer, IdsEqualTheReference) {
  const auto path = golden_path("tokenizer.json");
  if (path.empty()) GTEST_SKIP() << "no tokenizer.json in the golden folders";
  for (const auto& item : nlohmann::json::parse(read_file(path))) {
    const auto text = item.at("text").get<std::string>();
    EXPECT_EQ(tokenizer().encode(text), item.at("ids").get<std::vector<std::int64_t>>()) << text;
  }
}

class GoldenText : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(GoldenText, IdsAndFeaturesEqualTheReference) {
  const GoldenFile file = load_golden(GetParam());
  const bool open_clip = file.config.at("activation") == "gelu";  // Its tokenizer cuts.
  const at::Tensor& expected_ids = file.tensor("text.ids");
  at::Tensor ids = at::zeros_like(expected_ids);
  const auto texts = nlohmann::json::parse(file.content.metadata.at("texts"));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto row = tokenizer().encode_prompt(texts[i].get<std::string>(), open_clip);
    ids[static_cast<std::int64_t>(i)].narrow(0, 0, std::ssize(row)).copy_(at::tensor(row));
    EXPECT_TRUE(
        at::equal(ids[static_cast<std::int64_t>(i)], expected_ids[static_cast<std::int64_t>(i)]))
        << texts[i];
  }
  EXPECT_TRUE(at::equal(ids.argmax(1), file.tensor("text.eot")));

  const Clip clip(golden_clip(file.case_name, golden_sizes(file)));
  expect_golden(file, "text.raw",
                clip.encode_texts(expected_ids, file.config.at("activation").get<std::string>()),
                kForwardTolerance);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenText, ::testing::ValuesIn(golden_files("text")), golden_name);

// A kind without a method yet is seen in the test's output, not passed over.
class GoldenOfNoMethod : public ::testing::TestWithParam<std::filesystem::path> {};

std::vector<std::filesystem::path> files_of_no_method() {
  std::vector<std::filesystem::path> rest = golden_files();
  for (const char* kind : {"clip", "faprompt", "anomalyclip", "text", "resize", "metrics"}) {
    for (const auto& path : golden_files(kind)) std::erase(rest, path);
  }
  return rest;
}

TEST_P(GoldenOfNoMethod, IsSkipped) {
  GTEST_SKIP() << "kind '" << load_golden(GetParam()).kind << "' has no method yet";
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenOfNoMethod);
INSTANTIATE_TEST_SUITE_P(Files,
                         GoldenOfNoMethod,
                         ::testing::ValuesIn(files_of_no_method()),
                         golden_name);

}  // namespace
}  // namespace assay
