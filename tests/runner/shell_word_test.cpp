#include "runner/shell_word.h"

#include "runner/run_program.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

TEST(ShellWord, IsReadByARealShellAsItWas) {
  for (const std::string word :
       {"",      "plain", "K=4,8", "two words", "it's", "'",           "a\"b",        "$HOME",
        "`id`",  "a;b",   "*",     "~",         "#",    "back\\slash", "line\nbreak", "grüße",
        "{a,b}", "!x",    "<in",   "a&b",       "=x",   "-n"}) {
    const ProgramResult result =
        run_program({"/bin/sh", "-c", "printf '%s|' " + shell_word(word)}, 10);
    EXPECT_EQ(result.out, word + "|") << shell_word(word);
  }
}

TEST(ShellWord, LeavesAloneWhatNeedsNoQuotes) {
  EXPECT_EQ(shell_word("train.epochs=3"), "train.epochs=3");
  EXPECT_EQ(shell_word("/data/it's"), "'/data/it'\\''s'");
}

}  // namespace
}  // namespace assay
