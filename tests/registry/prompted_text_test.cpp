#include "registry/prompted_text.h"

#include "tests/support/small_clip.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

namespace assay {
namespace {

constexpr std::int64_t kWidth = 128, kNumAbnormal = 3;

const Clip& small_clip() {
  static const Clip clip(small_clip_weights());
  return clip;
}

at::Tensor leaf(const std::string& name, at::IntArrayRef shape) {
  return golden_prompt("prompted", name, shape, 0.5).requires_grad_();
}

// FAPrompt's layout: start, V_1..V_E, then `object . end` or A_1..A_E' `damaged object . end`.
struct Case {
  std::int64_t normal_length, abnormal_length;  // E and E'.
  std::int64_t num_deep, deep_length;
  bool concat, fp16;
};

struct Prompts {
  at::Tensor context, abnormal;  // V [E, T], A [K, E', T].
  DeepPrompts deep;
  std::vector<at::Tensor> leaves;

  explicit Prompts(const Case& c)
      : context(leaf("V", {c.normal_length, kWidth})),
        abnormal(leaf("A", {kNumAbnormal, c.abnormal_length, kWidth})),
        leaves({context, abnormal}) {
    deep.concat = c.concat;
    deep.fp16 = c.fp16;
    for (std::int64_t i = 0; i < c.num_deep; ++i) {
      deep.rows.push_back(leaf("D" + std::to_string(i), {c.deep_length, kWidth}));
      leaves.push_back(deep.rows.back());
    }
  }
  // Rows 0..E of every prompt, and what follows; no positions.
  [[nodiscard]] at::Tensor shared_rows() const {
    return at::cat({golden_prompt("prompted", "start", {1, kWidth}, 1), context});
  }
  [[nodiscard]] static at::Tensor normal_rest() {
    return golden_prompt("prompted", "words", {4, kWidth}, 1).narrow(0, 1, 3).unsqueeze(0);
  }
  [[nodiscard]] at::Tensor abnormal_rest() const {
    const at::Tensor words = golden_prompt("prompted", "words", {4, kWidth}, 1);
    return at::cat({abnormal, words.expand({kNumAbnormal, 4, kWidth})}, 1);
  }
};

at::Tensor with_positions(const at::Tensor& rows, std::int64_t first) {
  return rows + small_clip().text_positions().narrow(0, first, rows.size(-2));
}

at::Tensor literal(const Prompts& prompts) {
  const auto whole = [&](const at::Tensor& rest) {
    const at::Tensor shared = prompts.shared_rows().expand({rest.size(0), -1, -1});
    return encode_prompts_literally(small_clip(), with_positions(at::cat({shared, rest}, 1), 0),
                                    prompts.deep);
  };
  return at::cat({whole(Prompts::normal_rest()), whole(prompts.abnormal_rest())});
}

// `prefix_rows` rows are shared; the other context rows stand in each suffix.
at::Tensor shared(const Prompts& prompts, std::int64_t prefix_rows) {
  const at::Tensor rows = prompts.shared_rows();
  const TextPrefix prefix =
      encode_prefix(small_clip(), with_positions(rows.narrow(0, 0, prefix_rows), 0), prompts.deep)
          .prefix;
  const at::Tensor own = rows.narrow(0, prefix_rows, rows.size(0) - prefix_rows);
  const auto suffixes = [&](const at::Tensor& rest) {
    const at::Tensor all = at::cat({own.expand({rest.size(0), -1, -1}), rest}, 1);
    return encode_suffixes(small_clip(), prefix, prefix_rows, with_positions(all, prefix_rows),
                           prompts.deep);
  };
  return at::cat({suffixes(Prompts::normal_rest()), suffixes(prompts.abnormal_rest())});
}

// All prompts in the prefix's own pass.
at::Tensor together(const Prompts& prompts) {
  const at::Tensor rows = prompts.shared_rows();
  const auto suffix = [&](const at::Tensor& rest) { return with_positions(rest, rows.size(0)); };
  return at::cat(encode_prefix(small_clip(), with_positions(rows, 0), prompts.deep,
                               {suffix(Prompts::normal_rest()), suffix(prompts.abnormal_rest())})
                     .texts);
}

std::vector<at::Tensor> gradients(const at::Tensor& features, const std::vector<at::Tensor>& of) {
  const at::Tensor weights = golden_uniform("prompted", "upstream", features.sizes());
  return torch::autograd::grad({(features * weights.to(at::kFloat)).sum()}, of, {},
                               /*retain_graph=*/false, /*create_graph=*/false,
                               /*allow_unused=*/true);
}

class SharedPrefix : public ::testing::TestWithParam<Case> {};

void expect_same(const at::Tensor& features, const at::Tensor& expected, const Prompts& prompts) {
  EXPECT_LT(largest_difference(features.detach(), expected.detach()), 5e-6);
  const auto found = gradients(features, prompts.leaves);
  const auto expected_gradients = gradients(expected, prompts.leaves);
  for (std::size_t i = 0; i < found.size(); ++i) {
    // Per-prompt gradients of deep prompts are rounded to half precision before the sum.
    const bool rounded = prompts.deep.fp16 && i >= 2;
    if (!found[i].defined()) {  // All of it stood in rows whose block 1 is lost.
      EXPECT_EQ(expected_gradients[i].abs().max().item<double>(), 0) << "leaf " << i;
      continue;
    }
    EXPECT_LT(largest_difference(found[i], expected_gradients[i]), rounded ? 2e-3 : 1e-5)
        << "leaf " << i;
  }
}

TEST_P(SharedPrefix, GivesTheFeaturesAndGradientsOfWholePrompts) {
  at::set_num_threads(1);
  const Prompts prompts(GetParam());
  for (const std::int64_t prefix_rows : {GetParam().normal_length + 1, std::int64_t{1}}) {
    SCOPED_TRACE(prefix_rows);
    expect_same(shared(prompts, prefix_rows), literal(prompts), prompts);
  }
}

TEST_P(SharedPrefix, GivesThemInOnePassToo) {
  at::set_num_threads(1);
  const Prompts prompts(GetParam());
  expect_same(together(prompts), literal(prompts), prompts);
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const auto& [e, e2] :
       std::vector<std::pair<int, int>>{{5, 2}, {2, 1}, {3, 1}, {4, 2}, {10, 4}, {1, 1}}) {
    all.push_back({e, e2, 0, 0, false, false});
    all.push_back({e, e2, 3, 4, false, false});
    all.push_back({e, e2, 4, 4, false, true});   // As deep as the tower.
    all.push_back({e, e2, 2, 9, false, false});  // Longer than the shorter prompts.
    all.push_back({e, e2, 3, 2, true, false});
    all.push_back({e, e2, 5, 3, true, true});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, SharedPrefix, ::testing::ValuesIn(cases()), [](const auto& parameter) {
      const Case& c = parameter.param;
      return fmt::format("E{}_{}_deep{}x{}{}{}", c.normal_length, c.abnormal_length, c.num_deep,
                         c.deep_length, c.concat ? "_concat" : "", c.fp16 ? "_fp16" : "");
    });

TEST(PromptedText, WithoutDeepPromptsIsThePlainTextTower) {
  at::Tensor ids = at::tensor({97L, 3L, 14L, 15L, 99L}).view({1, 5});
  const at::Tensor rows = with_positions(small_clip().embed_tokens(ids), 0);
  EXPECT_LT(largest_difference(encode_prompts_literally(small_clip(), rows, {}),
                               small_clip().encode_texts(ids)),
            1e-6);
  const DeepPrompts gelu = {.rows = {}, .activation = "gelu"};
  EXPECT_LT(largest_difference(encode_prompts_literally(small_clip(), rows, gelu),
                               small_clip().encode_texts(ids, "gelu")),
            1e-6);
}

TEST(PromptedText, RefusesMoreDeepPromptsThanTheTowerHasBlocksFor) {
  const Prompts prompts({5, 2, 5, 4, false, false});
  EXPECT_THROW((void)literal(prompts), std::invalid_argument);
}

TEST(PromptedText, HalfPrecisionRoundsTheValuesOfDeepPrompts) {
  Prompts rounded({5, 2, 3, 4, false, true}), exact({5, 2, 3, 4, false, false});
  for (at::Tensor& rows : exact.deep.rows) rows = rows.detach().to(at::kHalf).to(at::kFloat);
  EXPECT_TRUE(at::equal(literal(rounded), literal(exact)));
}

}  // namespace
}  // namespace assay
