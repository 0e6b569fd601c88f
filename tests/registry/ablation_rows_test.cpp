#include "core/error.h"
#include "registry/method_catalogue.h"

#include <fmt/ranges.h>
#include <gmock/gmock.h>

#include <map>
#include <set>

namespace assay {
namespace {

using Json = nlohmann::json;
using Overrides = std::map<std::string, Json>;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ResolvedMethod resolve(const std::string& name, const Overrides& overrides = {}) {
  return resolve_method(name, overrides, find_backbone("clip-vit-l-14-336"), 518);
}

// The rows that are one job, of those that are: `a = b = c`.
std::set<std::string> equal_rows(const std::string& method,
                                 const std::vector<std::string>& presets) {
  std::map<std::string, std::vector<std::string>> of_identity;
  for (const std::string& preset : presets) {
    for (const AblationRow& row : find_method(method).rows) {
      const std::string name = presets.size() == 1 ? row.name : preset + " " + row.name;
      of_identity[resolve(method + ":" + preset, {{"row", row.name}}).effective.dump()].push_back(
          name);
    }
  }
  std::set<std::string> equal;
  for (const auto& [identity, rows] : of_identity) {
    if (rows.size() > 1) equal.insert(fmt::format("{}", fmt::join(rows, " = ")));
  }
  return equal;
}

TEST(AblationRows, HoldValuesThatAStudyCouldGive) {
  for (const MethodDescription& method : methods()) {
    for (const auto& [preset, values] : method.presets) {
      for (const AblationRow& row : method.rows) {
        const std::string name = method.name + ":" + preset;
        EXPECT_EQ(resolve(name, {{"row", row.name}}).switches.dump(),
                  resolve(name, row.switches).switches.dump())
            << name << " " << row.name;
      }
    }
  }
}

TEST(AblationRows, OfFaPromptAreDifferentJobsInBothFamilies) {
  EXPECT_EQ(find_method("faprompt").rows.size(), 11);
  // `base` is AnomalyCLIP, whatever the family (spec/ablations.md 2.1).
  EXPECT_THAT(equal_rows("faprompt", {"paper", "released"}),
              ElementsAre("paper base = released base"));
  EXPECT_EQ(resolve("faprompt", {{"row", "faprompt"}}).effective, resolve("faprompt").effective);
}

// spec/ablations.md 2.2: the full model stands under a name of its own in each table, and "printed
// pairs agree with this reading".
TEST(AblationRows, OfAnomalyClipAreOneJobWhereTheSpecSaysSo) {
  EXPECT_THAT(
      equal_rows("anomalyclip", {"paper"}),
      ElementsAre("local0_global1 = focal0_dice0", "plus_t1_t2_t3 = without_t4_multi_layer",
                  "plus_t1_t2_t3_t4 = local1_global1 = full = unshared_word_embeddings = vv = "
                  "focal1_dice1 = token_damaged",
                  "without_t1_dpam = without_dpam = qk"));
}

TEST(AblationRows, OfAnomalyClipAboutLayersAreTheFullModelAsReleased) {
  EXPECT_THAT(
      equal_rows("anomalyclip", {"released"}),
      ElementsAre("local0_global1 = focal0_dice0", "plus_t1_t2 = without_t3_text_prompt_tuning",
                  "plus_t1_t2_t3 = plus_t1_t2_t3_t4 = local1_global1 = full = "
                  "without_t4_multi_layer = unshared_word_embeddings = vv = focal1_dice1 = "
                  "token_damaged",
                  "without_t1_dpam = without_dpam = qk"));
}

// What differs between the presets (the layers, `loss.lambda`, `text.deep_fp16`) is idle in rows of
// one layer without local losses and deep prompts: that is one model, hence one job
// (spec/ablations.md 0).
TEST(AblationRows, OfAnomalyClipInTwoPresetsAreOneJobWhereWhatDiffersIsIdle) {
  std::set<std::string> across = equal_rows("anomalyclip", {"paper", "released"});
  std::erase_if(across, [](const std::string& equal) {
    return equal.find("paper ") == std::string::npos ||
           equal.find("released ") == std::string::npos;
  });
  EXPECT_THAT(across, ElementsAre("paper base = released base",
                                  "paper base_untrained = released base_untrained",
                                  "paper plus_t1 = released plus_t1"));
}

// A switch moves, all others stay at the preset.
std::set<std::string> jobs_of(const std::string& method,
                              const std::vector<Overrides>& configurations) {
  std::set<std::string> jobs;
  for (const Overrides& each : configurations) jobs.insert(resolve(method, each).effective.dump());
  return jobs;
}

std::vector<Overrides> grid_of(const std::string& name, const std::vector<Json>& values) {
  std::vector<Overrides> grid;
  for (const Json& value : values) grid.push_back({{name, value}});
  return grid;
}

template <typename... More>
std::vector<Overrides> joined(std::vector<Overrides> grid, const More&... more) {
  (grid.insert(grid.end(), more.begin(), more.end()), ...);
  return grid;
}

TEST(SweepGrids, AreAsManyJobsAsTheSpecCounts) {  // spec/ablations.md 3
  std::vector<Overrides> table_3;
  for (const char* row : {"base", "cap", "cap_wo_loc", "dap", "dap_wo_lprior", "faprompt"}) {
    table_3.push_back({{"row", row}});
  }
  const std::vector<Overrides> lengths = {
      {{"E", 2}, {"E2", 1}}, {{"E", 5}, {"E2", 2}}, {{"E", 10}, {"E2", 4}}};
  for (const char* preset : {"faprompt:paper", "faprompt:released"}) {
    EXPECT_EQ(jobs_of(preset, joined(grid_of("K", {1, 5, 10, 15, 20}),
                                     grid_of("M", {1, 5, 10, 15, 20}), lengths, table_3))
                  .size(),
              16)
        << preset;
  }
  EXPECT_EQ(jobs_of("anomalyclip",
                    joined(grid_of("prompt.E", {4, 8, 12, 16}),
                           grid_of("deep_depth", {3, 6, 9, 12}), grid_of("deep_len", {2, 4, 6, 8}),
                           grid_of("layers", {{24}, {18, 24}, {12, 18, 24}, {6, 12, 18, 24}})))
                .size(),
            13);
  EXPECT_EQ(jobs_of("anomalyclip", grid_of("abnormal_word", {"damaged", "anomalous", "flawed",
                                                             "defective", "blemished"}))
                .size(),
            5);
}

// spec/ablations.md 1.3: another value of any switch is another job than the preset.
TEST(AnomalyClipSwitches, AreEachAJobOfTheirOwn) {
  const std::vector<Overrides> others = {{},
                                         {{"object_train", "cls"}, {"object_test", "cls"}},
                                         {{"object_train", "cls"}},
                                         {{"object_test", "cls"}},
                                         {{"abnormal_word", ""}},
                                         {{"shared", true}},
                                         {{"prompt.E", 11}},
                                         {{"deep_depth", 1}},
                                         {{"deep_len", 5}},
                                         {{"deep_mode", "concat"}},
                                         {{"temperature", 0.1}},
                                         {{"attention", "qk"}},
                                         {{"attention", "qq"}},
                                         {{"attention", "kk"}},
                                         {{"attention", {"qk", "vv"}}},
                                         {{"first_block", 7}},
                                         {{"layers", {12, 24}}},
                                         {{"cls_ln_post", true}},
                                         {{"lambda", 2}},
                                         {{"global", false}},
                                         {{"focal", false}},
                                         {{"dice", false}},
                                         {{"train.split", "all"}},
                                         {{"epochs", 14}},
                                         {{"batch", 4}},
                                         {{"lr", 2e-3}},
                                         {{"sigma", 5}}};
  for (const char* preset : {"anomalyclip:paper", "anomalyclip:released"}) {
    EXPECT_EQ(jobs_of(preset, others).size(), others.size()) << preset;
    EXPECT_NE(resolve(preset, {{"deep_fp16", "off"}}).effective,
              resolve(preset, {{"deep_fp16", "fwd_bwd"}}).effective);
  }
}

TEST(AblationRows, OfFaPromptsBaseReadsAndTrainsAsAnomalyClipDoes) {
  const ResolvedMethod anomalyclip = resolve("anomalyclip:released");
  for (const char* preset : {"faprompt:paper", "faprompt:released"}) {
    const ResolvedMethod base = resolve(preset, {{"row", "base"}});
    EXPECT_EQ(base.features, anomalyclip.features);
    EXPECT_EQ(base.parameters, anomalyclip.parameters);
    for (const auto& [name, value] : anomalyclip.switches.items()) {
      if (!name.starts_with("train.") && !name.starts_with("text.") && name != "infer.sigma") {
        continue;
      }
      EXPECT_EQ(base.switches.at(name), value) << name;
    }
  }
  const Json matched = resolve("faprompt:paper", {{"row", "base_matched"}}).switches;
  EXPECT_EQ(matched.at("train.split"), "all");
  EXPECT_EQ(matched.at("train.epochs"), 7);
  EXPECT_EQ(matched.at("infer.sigma"), 10.0);
}

TEST(AblationRows, GiveWayToWhatTheStudySays) {
  const ResolvedMethod cap = resolve("faprompt", {{"row", "cap"}, {"K", 5}, {"oc_weight", 0}});
  EXPECT_EQ(cap.switches, resolve("faprompt", {{"row", "cap_wo_loc"}, {"K", 5}}).switches);
  EXPECT_EQ(cap.params, Json({{"row", "cap"}, {"cap.K", 5}, {"loss.oc_weight", 0.0}}));
}

TEST(AblationRows, FitTheBackboneAsPresetsDo) {
  const BackboneDescription& tiny = find_backbone("assay-tiny");
  const ResolvedMethod base = resolve_method("faprompt", {{"row", "base"}}, tiny, 128);
  const ResolvedMethod anomalyclip = resolve_method("anomalyclip:released", {}, tiny, 128);
  EXPECT_EQ(base.switches.at("infer.sigma"), anomalyclip.switches.at("infer.sigma"));
  EXPECT_EQ(resolve_method("anomalyclip", {{"row", "plus_t1"}}, tiny, 128).features.layers,
            std::vector<std::int64_t>{8});
}

TEST(AblationRows, AreNamedInTheErrorOfAnUnknownOne) {
  const auto error_of = [](const char* method, const Json& row) -> std::string {
    try {
      static_cast<void>(resolve(method, {{"row", row}}));
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(error_of("faprompt", "cap_wo_oc"),
              HasSubstr("'cap_wo_oc' is not a row of faprompt; did you mean 'cap_wo_loc'? known: "
                        "base, base_matched, cap"));
  EXPECT_THAT(error_of("faprompt", 3), HasSubstr("'3' is not a row of faprompt"));
  EXPECT_THAT(error_of("clip", "base"), HasSubstr("'row' is not a switch of clip"));
}

TEST(AblationRows, SayWhereTheyAreAGuess) {
  EXPECT_THAT(resolve("anomalyclip", {{"row", "base"}}).notes,
              ElementsAre(HasSubstr("row 'base' is a guess")));
  EXPECT_THAT(resolve("anomalyclip", {{"row", "plus_t1"}}).notes, IsEmpty());
}

// spec/methods-baselines.md 14, P-FA Table 7; without the prior spec/methods-seeds.md 3.2.
TEST(ParameterCounts, AreThePublishedOnes) {
  using Counts = ParameterCounts;
  EXPECT_EQ(resolve("faprompt").parameters, (Counts{4100064, 9612256}));
  EXPECT_EQ(resolve("faprompt:released").parameters, (Counts{4100064, 9612256}));
  EXPECT_EQ(resolve("faprompt", {{"row", "cap"}}).parameters, (Counts{43776, 5555968}));
  EXPECT_EQ(resolve("anomalyclip").parameters, (Counts{43008, 5555200}));
  EXPECT_EQ(resolve("clip").parameters, (Counts{0, 0}));
  EXPECT_EQ(resolve("faprompt", {{"dead_params", false}}).parameters, (Counts{4100064, 4100064}));
  // One context less; no deep prompts, hence no projections either.
  EXPECT_EQ(resolve("anomalyclip", {{"shared", true}, {"deep_depth", 1}}).parameters,
            (Counts{12 * 768, 12 * 768}));
}

// spec/methods-seeds.md 3.9.
TEST(Notes, NameFixedWordsThatDeepPromptsOverwrite) {
  EXPECT_THAT(resolve("faprompt").notes, IsEmpty());
  EXPECT_THAT(
      resolve("faprompt", {{"E", 2}, {"E2", 1}}).notes,
      ElementsAre("deep prompts overwrite rows 1 to 4 in text block 2 and with them fixed words, "
                  "those of the normal prompt from row 3 on and of the abnormal prompts from row 4 "
                  "on: legal, as in the release, but they act through block 1 alone"));
  EXPECT_THAT(resolve("faprompt", {{"E", 3}, {"E2", 1}}).notes,
              ElementsAre(HasSubstr("those of the normal prompt from row 4 on: legal")));
  EXPECT_THAT(resolve("faprompt", {{"E", 2}, {"E2", 1}, {"deep_depth", 1}}).notes, IsEmpty());
  EXPECT_THAT(resolve("anomalyclip", {{"E", 2}, {"deep_mode", "concat"}}).notes, IsEmpty());
  EXPECT_THAT(resolve("anomalyclip", {{"deep_len", 12}}).notes, IsEmpty());
  EXPECT_THAT(resolve("anomalyclip", {{"deep_len", 13}}).notes,
              ElementsAre(HasSubstr("from row 13 on")));
}

}  // namespace
}  // namespace assay
