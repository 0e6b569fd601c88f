#include "tools/bench/report.h"

#include "core/error.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace assay {
namespace {

using Json = nlohmann::json;

constexpr int kSchema = 1;

// `3.14 x limit`; three digits that count.
std::string with_unit(double value, const std::string& unit) {
  const int decimals = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return fmt::format("{:.{}f} {}", value, decimals, unit);
}

std::string goal_of(const Json& figure) {
  if (!figure.contains("goal")) return "";
  return fmt::format("{} {:g}", figure.at("higher_is_better").get<bool>() ? ">=" : "<=",
                     figure.at("goal").get<double>());
}

std::string sizes_of(const Json& figure) {
  std::vector<std::string> parts;
  for (const char* size : {"quarter", "one", "four"}) {
    const Json& by_size = figure.at("ns");
    parts.push_back(by_size.contains(size) ? fmt::format("{:.3g}", by_size.at(size).get<double>())
                                           : "-");
  }
  const auto counted = figure.at("counted").get<std::string>();
  return fmt::format("{} {}", fmt::join(parts, ", "),
                     counted.empty() ? figure.at("unit").get<std::string>() : "ns/" + counted);
}

void check_schema(const Json& result, const char* which) {
  if (result.value("schema", 0) != kSchema || !result.contains("figures")) {
    throw DataError(
        "the {} file: not a result of this version; write it with tools/bench.sh --json", which);
  }
}

// How much worse the new one is: 1.2 = a fifth.
double worsening(const Json& before, const Json& after) {
  const char* key = before.contains("literal") && after.contains("literal") ? "literal" : "value";
  const bool higher = key == std::string("literal") || before.at("higher_is_better").get<bool>();
  const auto old_value = before.at(key).get<double>(), new_value = after.at(key).get<double>();
  return higher ? old_value / new_value : new_value / old_value;
}

}  // namespace

Json bench_result(const Json& machine,
                  const MachineRates& rates,
                  const std::vector<Figure>& figures) {
  Json result = {{"schema", kSchema},
                 {"machine", machine},
                 {"gemm_gflops_one_thread", rates.gemm_1 * 1e-9},
                 {"gemm_gflops_two_threads", rates.gemm_2 * 1e-9},
                 {"bandwidth_gb", rates.bandwidth * 1e-9},
                 {"figures", Json::array()}};
  for (const Figure& figure : figures) {
    Json entry = {{"name", figure.name},       {"what", figure.what},
                  {"unit", figure.unit},       {"value", figure.value},
                  {"noise", figure.noise},     {"higher_is_better", figure.higher_is_better},
                  {"counted", figure.counted}, {"ns", figure.ns}};
    if (figure.goal) entry["goal"] = *figure.goal;
    if (const auto met = figure.met()) entry["met"] = *met;
    if (figure.literal) entry["literal"] = *figure.literal;
    result["figures"].push_back(std::move(entry));
  }
  return result;
}

std::string bench_table(const Json& result) {
  check_schema(result, "result");
  std::string out = "machine:";
  for (const auto& [key, value] : result.at("machine").items()) {
    out += fmt::format(" {} {};", key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  out += fmt::format(
      "\nmeasured beside the figures: GEMM {:.0f} GFLOP/s on one thread, {:.0f} on two; one thread "
      "reads {:.1f} GB/s\n\n",
      result.at("gemm_gflops_one_thread").get<double>(),
      result.at("gemm_gflops_two_threads").get<double>(), result.at("bandwidth_gb").get<double>());
  const auto line = [&](const std::string& what, const std::string& value, const std::string& goal,
                        const std::string& met, const std::string& literal,
                        const std::string& sizes) {
    out += fmt::format("{:<56} {:>15} {:>8} {:<6} {:>8}  {}\n", what, value, goal, met, literal,
                       sizes);
  };
  line("figure", "value", "goal", "", "literal", "at 1/4, 1 and 4 times the size");
  for (const Json& figure : result.at("figures")) {
    const std::string met = !figure.contains("met")        ? ""
                            : figure.at("met").get<bool>() ? "met"
                                                           : "missed";
    const std::string literal = figure.contains("literal")
                                    ? fmt::format("{:.3g} x", figure.at("literal").get<double>())
                                    : std::string();
    line(figure.at("what"), with_unit(figure.at("value"), figure.at("unit")), goal_of(figure), met,
         literal, sizes_of(figure));
  }
  return out;
}

Comparison compare_results(const Json& old_result, const Json& new_result) {
  check_schema(old_result, "old");
  check_schema(new_result, "new");
  Comparison comparison;
  comparison.table =
      fmt::format("{:<32} {:>15} {:>15} {:>8} {:>7}\n", "figure", "old", "new", "change", "noise");
  for (const Json& before : old_result.at("figures")) {
    const auto& figures = new_result.at("figures");
    const auto after = std::ranges::find_if(
        figures, [&](const Json& figure) { return figure.at("name") == before.at("name"); });
    const auto name = before.at("name").get<std::string>();
    if (after == figures.end()) {
      comparison.table += fmt::format("{:<32} is in the old file alone\n", name);
      continue;
    }
    const double worse = worsening(before, *after);
    const double noise = before.at("noise").get<double>() + after->at("noise").get<double>();
    const double bound = 1 + std::max(0.05, noise);
    const char* verdict = worse > bound ? "worse" : worse < 1 / bound ? "better" : "";
    comparison.table += fmt::format("{:<32} {:>15} {:>15} {:>+7.1f}% {:>6.1f}% {}\n", name,
                                    with_unit(before.at("value"), before.at("unit")),
                                    with_unit(after->at("value"), after->at("unit")),
                                    100 * (1 / worse - 1), 100 * noise, verdict);
    if (worse > bound) comparison.worse.push_back(name);
  }
  return comparison;
}

}  // namespace assay
