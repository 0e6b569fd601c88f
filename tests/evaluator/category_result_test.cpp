#include "evaluator/category_result.h"

#include "tests/evaluator/pixel_images.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace assay {
namespace {

CategoryResult specification_result() {
  CategoryResult result;
  result.category = "screw";
  result.image = image_metrics(oracle::Scores{.1F, .4F, .35F, .8F}, oracle::Labels{0, 0, 1, 1});
  result.pixel = metrics_of(specification_images());
  result.num_images = 4;
  result.num_empty_masks = 1;
  return result;
}

CategoryResult with_aurocs(std::optional<double> image, std::optional<double> pixel) {
  CategoryResult result;
  result.image.auroc = image;
  result.pixel.auroc = pixel;
  return result;
}

TEST(CategoryResult, KeepsItsBitsThroughJsonText) {
  const CategoryResult result = specification_result();
  const auto text = to_json(result).dump();
  EXPECT_EQ(category_result_from_json(nlohmann::json::parse(text)), result);
}

TEST(CategoryResult, WritesUndefinedMetricsAsNull) {
  CategoryResult result;
  result.image = image_metrics(oracle::Scores{.1F}, oracle::Labels{1});
  const nlohmann::json json = to_json(result);
  EXPECT_TRUE(json.at("image").at("auroc").is_null());
  EXPECT_EQ(json.at("image").at("undefined_because"), "no_normals");
  EXPECT_EQ(category_result_from_json(json), result);
}

TEST(CategoryResult, ListsEightNumbersEachWithAValueOrAReason) {
  CategoryResult result = specification_result();
  result.pixel.aupro_cflow200.reset();
  result.pixel.cflow200_undefined_because = "equal_fpr";
  const std::vector<CategoryMetric> metrics = metrics_of_category(result);
  ASSERT_EQ(metrics.size(), 8U);
  for (const CategoryMetric& metric : metrics) {
    EXPECT_EQ(metric.value.has_value(), metric.undefined_because.empty()) << metric.metric;
  }
  EXPECT_EQ(metrics[0].level, "image");
  EXPECT_EQ(metrics[0].metric, "auroc");
  EXPECT_EQ(metrics[0].value, 0.75);
  EXPECT_EQ(metrics[7].metric, "aupro_cflow200");
  EXPECT_EQ(metrics[7].num_regions, 4);
}

TEST(CategoryResult, DoesNotListWhatWasNotAskedFor) {
  CategoryResult result = specification_result();
  result.pixel = metrics_of(specification_images(), {.cflow200 = false});
  EXPECT_EQ(metrics_of_category(result).back().metric, "aupro");
}

TEST(InversionWarning, NamesTheCheckpointWhereMostCategoriesAreWorseThanChance) {
  const std::vector<CategoryResult> results = {with_aurocs({}, 0.239), with_aurocs(0.7, 0.361),
                                               with_aurocs(0.6, 0.9)};
  EXPECT_THAT(inversion_warning(results, "job 3fa9"),
              testing::AllOf(testing::StartsWith("job 3fa9: pixel AUROC below 0.5 in 2 of 3"),
                             testing::HasSubstr("inverted")));
}

TEST(InversionWarning, IsSilentWhereHalfOfTheCategoriesAreBetterThanChance) {
  const std::vector<CategoryResult> results = {with_aurocs(0.4, 0.4), with_aurocs(0.6, 0.9)};
  EXPECT_EQ(inversion_warning(results, "job 3fa9"), "");
  EXPECT_EQ(inversion_warning({}, "job 3fa9"), "");
}

}  // namespace
}  // namespace assay
