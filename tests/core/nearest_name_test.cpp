#include "core/nearest_name.h"

#include <gtest/gtest.h>

#include <vector>

namespace assay {
namespace {

const std::vector<std::string> kNames = {"anomalyclip", "faprompt", "ground_truth"};

TEST(NearestName, FindsASlipOfTheHand) {
  EXPECT_EQ(nearest_name("faprmopt", kNames), "faprompt");
  EXPECT_EQ(nearest_name("AnomalyCLIP", kNames), "anomalyclip");
  EXPECT_EQ(nearest_name("groundtruth", kNames), "ground_truth");
}

TEST(NearestName, IsEmptyWhereNothingIsNear) {
  EXPECT_EQ(nearest_name("patchcore", kNames), "");
  EXPECT_EQ(nearest_name("x", {}), "");
}

}  // namespace
}  // namespace assay
