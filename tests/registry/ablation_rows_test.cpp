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
