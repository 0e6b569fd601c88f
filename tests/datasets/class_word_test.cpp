#include "datasets/catalogue.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

TEST(ClassWord, IsTheReleasedOneOrTheFolderWithBlanks) {
  EXPECT_EQ(class_word("mvtec", "metal_nut"), "metal_nut");
  EXPECT_EQ(class_word("elpv", "elpv"), "elpv");
  EXPECT_EQ(class_word("elpv", "mono"), "elpv");
  EXPECT_EQ(class_word("brainmri", "anything"), "brain");
  EXPECT_EQ(class_word("dtd_synthetic", "Woven_127"), "Woven_127");
  EXPECT_EQ(class_word("synth-a", "woven_cloth"), "woven cloth");
}

TEST(ClassWord, IsTheReadableOneOrAGivenOneWhereAskedFor) {
  const ClassWords readable = {.readable = true, .given = {}};
  EXPECT_EQ(class_word("mvtec", "metal_nut", readable), "metal nut");
  EXPECT_EQ(class_word("visa", "pcb3", readable), "printed circuit board");
  EXPECT_EQ(class_word("elpv", "elpv", readable), "solar cell");
  EXPECT_EQ(class_word("elpv", "mono", readable), "monocrystalline solar cell");
  EXPECT_EQ(class_word("covid19", "Viral Pneumonia", readable), "chest X-ray");
  EXPECT_EQ(class_word("mpdd", "bracket_black", readable), "black bracket");
  EXPECT_EQ(class_word("synth-a", "woven_cloth", readable), "woven cloth");
  const ClassWords given = {.given = {{"mvtec/metal_nut", "nut of steel"}}};
  EXPECT_EQ(class_word("mvtec", "metal_nut", given), "nut of steel");
  EXPECT_EQ(class_word("visa", "pcb3", given), "pcb3");
}

}  // namespace
}  // namespace assay
