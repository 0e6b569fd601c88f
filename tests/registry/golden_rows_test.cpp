#include "registry/method_catalogue.h"
#include "tests/support/golden.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace assay {
namespace {

using Json = nlohmann::json;

// A file of tests/data/golden/README.md, 'Presets and switches', that is a preset or a row of it.
struct FileOfRow {
  const char* file;
  const char* method;
  const char* row;  // Or "".
};

constexpr FileOfRow kFiles[] = {
    {"faprompt-paper", "faprompt:paper", ""},
    {"faprompt-paper_fixed", "faprompt:paper_fixed", ""},
    {"faprompt-released_v0", "faprompt:released_v0", ""},
    {"faprompt-base", "faprompt:paper", "base"},
    {"faprompt-cap", "faprompt:paper", "cap"},
    {"faprompt-cap_wo_loc", "faprompt:paper", "cap_wo_loc"},
    {"faprompt-dap", "faprompt:paper", "dap"},
    {"faprompt-dap_wo_lprior", "faprompt:paper", "dap_wo_lprior"},
    {"faprompt-cap_on_base", "faprompt:paper", "cap_on_base"},
    {"faprompt-dap_on_base", "faprompt:paper", "dap_on_base"},
    {"faprompt-cap_released", "faprompt:released", "cap"},
    {"faprompt-dap_released", "faprompt:released", "dap"},
    {"anomalyclip-paper", "anomalyclip:paper", ""},
    {"anomalyclip-base", "anomalyclip:paper", "base"},
    {"anomalyclip-qk", "anomalyclip:paper", "qk"},
    {"anomalyclip-qq", "anomalyclip:paper", "qq"},
    {"anomalyclip-kk", "anomalyclip:paper", "kk"},
    {"anomalyclip-ensemble_qq_kk_vv", "anomalyclip:paper", "ensemble_qq_kk_vv"},
    {"anomalyclip-ensemble_qk_qq_kk_vv", "anomalyclip:paper", "ensemble_qk_qq_kk_vv"},
    {"anomalyclip-without_t2", "anomalyclip:paper", "without_t2_object_agnostic_prompt"},
    {"anomalyclip-without_t3", "anomalyclip:paper", "without_t3_text_prompt_tuning"},
    {"anomalyclip-re", "anomalyclip:paper", "re"},
    {"anomalyclip-shared", "anomalyclip:paper", "shared_word_embeddings"},
    {"anomalyclip-token_anomalous", "anomalyclip:paper", "token_anomalous"},
    {"anomalyclip-focal0_dice1", "anomalyclip:paper", "focal0_dice1"},
    {"anomalyclip-local1_global0", "anomalyclip:paper", "local1_global0"},
};

class GoldenRow : public ::testing::TestWithParam<FileOfRow> {};

// The switches of the file, chosen by whoever wrote it from the same specification.
TEST_P(GoldenRow, HasTheSwitchesOfTheFile) {
  const std::filesystem::path path = golden_path(std::string(GetParam().file) + ".safetensors");
  ASSERT_FALSE(path.empty()) << GetParam().file << " is not in tests/data/golden";
  const GoldenFile file = load_golden(path);
  const BackboneDescription& backbone = find_backbone("clip-vit-l-14-336");
  std::map<std::string, Json> row, all;
  for (const auto& [name, value] : file.switches.items()) all[name] = value;
  // Files of AnomalyCLIP tap fewer blocks than the paper: a size, not a difference of the row.
  if (file.switches.contains("vis.layers")) row["vis.layers"] = file.switches["vis.layers"];
  if (*GetParam().row != '\0') row["row"] = GetParam().row;
  EXPECT_EQ(resolve_method(GetParam().method, row, backbone, 518).effective,
            resolve_method(GetParam().method, all, backbone, 518).effective);
}

std::string name_of(const ::testing::TestParamInfo<FileOfRow>& parameter) {
  std::string name = parameter.param.file;
  std::ranges::replace(name, '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenRow, ::testing::ValuesIn(kFiles), name_of);

}  // namespace
}  // namespace assay
