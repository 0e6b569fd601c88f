#include "tests/support/temporary_folder.h"
#include "tools/pretrain/evaluate.h"
#include "tools/pretrain/optimiser.h"
#include "tools/pretrain/tiny_clip.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace assay {
namespace {

const Tokenizer& tokenizer() {
  static const Tokenizer kTokenizer(std::filesystem::path(ASSAY_SOURCE_DIR) /
                                    ".deps/clip/bpe_simple_vocab_16e6.txt.gz");
  return kTokenizer;
}

BatchOptions small_batches() {
  return {.seed = 4, .twins = 2, .image_size = 32, .patch = 8, .state_pairs = 3};
}

ClipSizes small_sizes() {
  ClipSizes sizes = tiny_sizes();
  sizes.vision_layers = kTinyFirstVvBlock;
  sizes.text_layers = 1;
  return sizes;
}

/// `steps` steps of training on from `state`.
void train(PretrainState& state, int steps) {
  at::set_num_threads(1);
  const Clip clip(state.weights);
  CaptionWriter writer(tokenizer());
  for (int i = 0; i < steps; ++i) {
    const PretrainBatch batch = make_batch(small_batches(), state.step, writer);
    pretrain_losses(clip, state.weights, batch, {}).total.backward();
    optimiser_step({.warm_up_steps = 2, .steps = 10}, state,
                   std::get<0>(at::_unique(batch.texts.flatten())));
  }
}

TEST(PretrainBatch, IsAFunctionOfSeedAndStep) {
  CaptionWriter first(tokenizer()), second(tokenizer());
  const PretrainBatch other = make_batch(small_batches(), 6, second);
  const PretrainBatch a = make_batch(small_batches(), 7, first);
  const PretrainBatch b = make_batch(small_batches(), 7, second);
  EXPECT_TRUE(at::equal(a.images, b.images));
  EXPECT_TRUE(at::equal(a.texts, b.texts));
  EXPECT_FALSE(at::equal(a.images, other.images));
}

TEST(PretrainBatch, HoldsEveryDrawingBesideItsDefectiveTwin) {
  CaptionWriter writer(tokenizer());
  const PretrainBatch batch = make_batch(small_batches(), 0, writer);
  EXPECT_TRUE(at::equal(batch.anomalous, at::tensor({0.0F, 1.0F, 0.0F, 1.0F})));
  EXPECT_EQ(batch.patch_share[0].sum().item<float>(), 0.0F);
  EXPECT_GT(batch.patch_share[1].sum().item<float>(), 0.0F);
}

TEST(PretrainCaptions, NeverNameWhatIsHeldOut) {
  std::set<TokenIds> held_out;
  for (const int category : pool_categories(DrawingPool::kHeldOut)) {
    held_out.insert(
        tokenizer().encode(spoken(drawing_categories()[static_cast<std::size_t>(category)].name)));
  }
  for (const DefectKind kind : pool_defects(DrawingPool::kHeldOut)) {
    held_out.insert(tokenizer().encode(spoken(defect_name(kind))));
  }
  CaptionWriter writer(tokenizer());
  Draws draws(1, "test");
  for (std::uint64_t i = 0; i < 300; ++i) {
    const DrawingTwins twins = draw_twins(random_request(DrawingPool::kPretraining, 1, i, 16));
    for (const Drawing* drawing : {&twins.normal, &twins.defective}) {
      const TokenIds ids = writer.caption(*drawing, true, draws).text;
      for (const TokenIds& word : held_out) {
        EXPECT_TRUE(std::ranges::search(ids, word).empty());
      }
    }
  }
}

TEST(PretrainCaptions, SayAnomalousOfDefectsAndOfDullColours) {
  Drawing drawing;
  drawing.colour = "white";
  const float flawless_white = oddness(drawing);
  drawing.colour = "brown";
  const float flawless_brown = oddness(drawing);
  drawing.defect = "scratch";
  EXPECT_LT(flawless_white, flawless_brown);
  EXPECT_LT(flawless_brown, oddness(drawing));
}

TEST(PretrainCaptions, WithoutTheWordsOfRawClipSpeakOfTheStateAlone) {
  const std::set<std::int64_t> odd_words = {tokenizer().encode("normal").at(0),
                                            tokenizer().encode("anomalous").at(0),
                                            tokenizer().encode("abnormal").at(0)};
  CaptionWriter writer(tokenizer());
  Draws draws(3, "test");
  const Drawing drawing = draw_normal(random_request(DrawingPool::kPretraining, 1, 0, 16));
  for (int i = 0; i < 100; ++i) {
    const CaptionWriter::Caption caption = writer.caption(drawing, true, draws);
    EXPECT_EQ(std::ranges::any_of(caption.text, [&](auto id) { return odd_words.contains(id); }),
              !caption.of_state_alone);
  }
}

TEST(PretrainCaptions, OfAStatePairShareTheirRandomNoun) {
  CaptionWriter writer(tokenizer());
  Draws draws(2, "test");
  for (int i = 0; i < 50; ++i) {
    const CaptionWriter::StatePair pair = writer.state_pair("", draws);
    const std::set<std::int64_t> normal(pair.normal.begin(), pair.normal.end());
    const auto shared =
        std::ranges::count_if(pair.anomalous, [&](std::int64_t id) { return normal.contains(id); });
    EXPECT_GE(shared, 3);  // Start, end and the noun at least.
  }
}

TEST(Pretrain, GoesOnFromACheckpointWithTheSameBits) {
  const TemporaryFolder folder;
  PretrainState whole = fresh_state(initial_weights(small_sizes(), 1));
  train(whole, 4);

  PretrainState half = fresh_state(initial_weights(small_sizes(), 1));
  train(half, 2);
  save_state(folder / "checkpoint.safetensors", half);
  PretrainState resumed = load_state(folder / "checkpoint.safetensors");
  train(resumed, 2);

  EXPECT_EQ(resumed.step, 4);
  for (const auto& [name, weight] : whole.weights) {
    EXPECT_TRUE(at::equal(weight, resumed.weights.at(name))) << name;
    EXPECT_TRUE(at::equal(whole.average.at(name), resumed.average.at(name))) << name;
  }
}

TEST(Pretrain, LowersItsLossOnOneBatch) {
  PretrainState state = fresh_state(initial_weights(small_sizes(), 1));
  const Clip clip(state.weights);
  CaptionWriter writer(tokenizer());
  const PretrainBatch batch = make_batch(small_batches(), 0, writer);
  double first = 0.0, last = 0.0;
  for (int i = 0; i < 15; ++i) {
    const PretrainLosses losses = pretrain_losses(clip, state.weights, batch, {});
    last = losses.total.item<double>();
    if (i == 0) first = last;
    losses.total.backward();
    optimiser_step({.warm_up_steps = 1, .steps = 100}, state,
                   std::get<0>(at::_unique(batch.texts.flatten())));
  }
  EXPECT_LT(last, 0.7 * first);
}

TEST(Pretrain, LeavesTheRowsOfWordsThatNoCaptionHasAlone) {
  PretrainState state = fresh_state(initial_weights(small_sizes(), 1));
  const at::Tensor before = state.weights.at("token_embedding.weight").detach().clone();
  train(state, 1);
  const at::Tensor changed =
      state.weights.at("token_embedding.weight").detach().ne(before).any(1).sum();
  EXPECT_GT(changed.item<std::int64_t>(), 5);
  EXPECT_LT(changed.item<std::int64_t>(), 200);
}

TEST(LearningRate, WarmsUpAndFallsToZero) {
  const OptimiserOptions options{.peak_rate = 1.0, .warm_up_steps = 10, .steps = 110};
  EXPECT_DOUBLE_EQ(learning_rate(options, 0), 0.1);
  EXPECT_DOUBLE_EQ(learning_rate(options, 10), 1.0);
  EXPECT_NEAR(learning_rate(options, 60), 0.5, 1e-12);
  EXPECT_NEAR(learning_rate(options, 110), 0.0, 1e-12);
}

TEST(AurocStandardError, IsThatOfHanleyAndMcNeil) {
  // Worked by hand for A = 0.75, 2 positives, 2 negatives: Q1 = 0.6, Q2 = 9/14;
  // (0.1875 + (0.6 - 0.5625) + (9/14 - 0.5625)) / 4.
  EXPECT_NEAR(auroc_standard_error(0.75, 2, 2),
              std::sqrt((0.1875 + 0.0375 + 9.0 / 14.0 - 0.5625) / 4.0), 1e-12);
}

}  // namespace
}  // namespace assay
