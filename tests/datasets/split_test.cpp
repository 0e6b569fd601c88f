#include "datasets/split.h"

#include <gmock/gmock.h>

#include <numeric>

namespace assay {
namespace {

using Indices = std::vector<std::int64_t>;

struct Vector {
  std::int64_t size;
  Indices first_ten;
  std::int64_t test_sum;
};

// spec/datasets.md 2.4, checked there against numpy 1.24 and scikit-learn 1.2.
const std::vector<Vector> kVectors = {
    {10, {8, 1, 5, 0, 7, 2, 9, 4, 3, 6}, 14},
    {98, {62, 40, 94, 18, 81, 83, 64, 42, 10, 0}, 1159},
    {100, {83, 53, 70, 45, 44, 39, 22, 80, 10, 0}, 1170},
    {724, {326, 518, 554, 33, 375, 722, 65, 109, 254, 487}, 60788},
    {1143, {158, 1081, 291, 538, 367, 793, 128, 56, 448, 422}, 157910},
    {1508, {578, 1146, 382, 583, 966, 1173, 175, 1084, 705, 1102}, 291563},
    {2256, {1788, 1744, 1401, 1208, 461, 986, 445, 841, 1569, 1271}, 619858},
    {3143, {2993, 2971, 1064, 1987, 2990, 2401, 1344, 2384, 1334, 1480}, 1191886}};

TEST(NumpyPermutation, EqualsNumpys) {
  for (const Vector& vector : kVectors) {
    const Indices order = numpy_permutation(vector.size, 42);
    EXPECT_EQ(Indices(order.begin(), order.begin() + 10), vector.first_ten) << vector.size;
  }
}

TEST(QuarterSplit, HasTheTestItemsOfScikitLearn) {
  for (const Vector& vector : kVectors) {
    const QuarterSplit split = quarter_split(vector.size);
    EXPECT_EQ(std::accumulate(split.test.begin(), split.test.end(), std::int64_t{0}),
              vector.test_sum)
        << vector.size;
    EXPECT_EQ(split.train.size(), static_cast<std::size_t>(3 * vector.size / 4));
  }
}

TEST(QuarterSplit, OfFewItemsStaysInRange) {
  EXPECT_TRUE(quarter_split(0).test.empty());
  EXPECT_EQ(quarter_split(1).test, Indices{0});
}

}  // namespace
}  // namespace assay
