#pragma once

#include "core/error.h"
#include "runner/study.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace assay {

/// A study that is right, of which each test spoils one line. The first `[[sweep]]` is line 8.
inline std::string study_text(const std::string& extra = "",
                              const std::string& sweep = "method = 'faprompt:paper'") {
  return "schema = 1\n"
         "name = 'k'\n"
         "backbone = 'assay-tiny'\n"
         "train_on = { default = 'synth-a', synth-a = 'synth-b' }\n"
         "targets = ['synth-b', 'elpv']\n"
         "seeds = [0, 1]\n" +
         extra + "\n[[sweep]]\n" + sweep + "\n";
}

inline Study parse(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return parse_study(text, "experiments/k.toml", overrides);
}

inline void expect_error(const std::string& text,
                         const std::string& message,
                         const std::vector<std::string>& overrides = {}) {
  EXPECT_THAT([&] { (void)parse(text, overrides); },
              ::testing::ThrowsMessage<ConfigError>(::testing::StartsWith(message)))
      << text;
}

}  // namespace assay
