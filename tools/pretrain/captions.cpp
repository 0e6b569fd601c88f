#include "tools/pretrain/captions.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <sstream>

namespace assay {
namespace {

using Words = std::span<const std::string_view>;

// Weighted by repetition.
constexpr std::string_view kNormal[] = {
    "flawless",  "perfect",  "intact",   "undamaged", "unblemished", "good", "clean", "pristine",
    "faultless", "unbroken", "flawless", "perfect",   "spotless",    "new",  "sound", "immaculate"};
constexpr std::string_view kAnomalous[] = {
    "damaged", "defective", "broken", "flawed",    "faulty",  "blemished", "imperfect", "bad",
    "spoiled", "ruined",    "marred", "defective", "damaged", "impaired",  "marked"};
// The words that raw CLIP is asked with. Captions say them of more than the state, as those of the
// web do: see oddness().
constexpr std::string_view kUsual = "normal";
constexpr std::string_view kOdd[] = {"anomalous", "abnormal"};
constexpr float kOddShare = 0.2F;  // Of the captions.

constexpr std::string_view kNormalEnds[] = {"without defect",    "without damage",
                                            "without flaw",      "in perfect condition",
                                            "in good condition", "without any anomaly"};
constexpr std::string_view kAnomalousEnds[] = {"with a defect",     "with damage",
                                               "with a flaw",       "in bad condition",
                                               "in poor condition", "with an anomaly"};
// `#` is the description.
constexpr std::string_view kTemplates[] = {
    "a photo of #",        "a photo of the #", "a cropped photo of #",
    "a picture of #",      "a close-up of #",  "a photo of # for visual inspection",
    "this is #",           "an image of #",    "there is # in the scene",
    "a bright photo of #", "a drawing of #",   "#",
    "a photo of #.",       "A photo of #"};

std::string_view pick(Words words, Draws& draws) {
  return words[static_cast<std::size_t>(draws.below(static_cast<int>(words.size())))];
}

/// What captions say of one kind of defect: an adjective or `with a ...`.
std::string_view adjective(std::string_view defect) {
  static const std::map<std::string_view, std::string_view> kWords = {
      {"scratch", "scratched"},
      {"stain", "stained"},
      {"hole", "punctured"},
      {"crack", "cracked"},
      {"dent", "dented"},
      {"bent", "bent"},
      {"contamination", "dirty"},
      {"burn", "burnt"},
      {"edge_chip", "chipped"},
      {"colour_patch", "discoloured"},
      {"cut", "cut"},
      {"smudge", "smudged"},
      {"broken", "broken"},
      {"scuff", "scuffed"}};
  const auto found = kWords.find(defect);
  return found == kWords.end() ? std::string_view{} : found->second;
}

bool starts_with_vowel(std::string_view word) {
  return !word.empty() && std::string_view("aeiou").find(word[0]) != std::string_view::npos;
}

std::string with_article(const std::string& phrase) {
  return (starts_with_vowel(phrase) ? "an " : "a ") + phrase;
}

std::string fill(std::string_view pattern, const std::string& phrase, bool article) {
  std::string text(pattern);
  const std::size_t at = text.find('#');
  return text.replace(at, 1, article ? with_article(phrase) : phrase);
}

std::string join(std::initializer_list<std::string_view> words) {
  std::string text;
  for (const std::string_view word : words) {
    if (word.empty()) continue;
    if (!text.empty()) text += ' ';
    text += word;
  }
  return text;
}

constexpr float kColourShare = 1.3F;  // Weight of the colour in oddness(), beside the state's 1.

constexpr std::string_view kNoun = "@";  // Stands for the noun until it is tokenised.

}  // namespace

std::string spoken(std::string_view name) {
  std::string text(name);
  std::ranges::replace(text, '_', ' ');
  return text;
}

std::string plain_caption(const Drawing& drawing) {
  return "a photo of " +
         with_article(join({drawing.defect.empty() ? "flawless" : "damaged", drawing.colour,
                            drawing.material, spoken(drawing.category)}));
}

float oddness(const Drawing& drawing) {
  // Worn and dirty things are brown, grey, black; new and clean ones white and bright.
  static const std::map<std::string_view, float> kDullness = {
      {"brown", 1.5F}, {"grey", 1.4F},    {"black", 1.2F}, {"purple", 0.4F}, {"green", 0.2F},
      {"teal", 0.0F},  {"beige", 0.0F},   {"blue", -0.2F}, {"red", -0.4F},   {"orange", -0.5F},
      {"pink", -1.0F}, {"yellow", -1.2F}, {"white", -1.6F}};
  const float state = drawing.defect.empty() ? -1.0F : 1.0F;
  return 1.0F / (1.0F + std::exp(-state - kColourShare * kDullness.at(drawing.colour)));
}

TokenIds CaptionWriter::encode(const std::string& text) {
  TokenIds ids = {Tokenizer::kStart};
  std::istringstream words(text);
  std::string word;
  while (words >> word) {
    auto found = words_.find(word);
    if (found == words_.end()) found = words_.emplace(word, tokenizer_.encode(word)).first;
    ids.insert(ids.end(), found->second.begin(), found->second.end());
  }
  ids.push_back(Tokenizer::kEnd);
  return ids;
}

TokenIds CaptionWriter::encode_with_noun(const std::string& text,
                                         const std::string& noun,
                                         Draws& draws) {
  TokenIds ids;
  const std::size_t at = text.find(kNoun);
  if (!noun.empty()) return encode(std::string(text).replace(at, 1, noun));
  ids = encode(text.substr(0, at));
  ids.pop_back();
  // One or two words that no caption explains: ids of whole words, above the 512 bytes.
  const int length = 1 + draws.below(2);
  for (int i = 0; i < length; ++i) ids.push_back(512 + draws.below(48894));
  const TokenIds rest = encode(text.substr(at + 1));
  ids.insert(ids.end(), rest.begin() + 1, rest.end());
  return ids;
}

CaptionWriter::Caption CaptionWriter::caption(const Drawing& drawing,
                                              bool with_colour,
                                              Draws& draws) {
  const bool normal = drawing.defect.empty();
  const std::string_view colour = with_colour && draws.chance(0.85F) ? drawing.colour : "";
  const std::string_view material = draws.chance(0.75F) ? drawing.material : "";
  std::string noun(kNoun), filler;
  const float choice = draws.range(0.0F, 1.0F);
  if (choice < 0.8F) {
    filler = spoken(drawing.category);
  } else if (choice < 0.9F) {
    filler = "object";
  }
  std::string phrase;
  const float form = draws.range(0.0F, 1.0F);
  std::string_view word = normal ? pick(kNormal, draws) : pick(kAnomalous, draws);
  const std::string_view end = normal ? pick(kNormalEnds, draws) : pick(kAnomalousEnds, draws);
  const bool odd = draws.chance(kOddShare);
  if (odd) {
    word = draws.chance(oddness(drawing)) ? pick(kOdd, draws) : kUsual;
    phrase = join({word, colour, material, noun});
  } else if (!normal && form < 0.18F && !adjective(drawing.defect).empty()) {
    phrase = join({adjective(drawing.defect), colour, material, noun});
  } else if (!normal && form < 0.3F) {
    phrase = join({colour, material, noun, "with", with_article(spoken(drawing.defect))});
  } else if (form < 0.5F) {
    phrase = join({colour, material, noun, end});
  } else {
    phrase = join({word, colour, material, noun});
  }
  const std::string_view pattern = pick(kTemplates, draws);
  const bool article = pattern.find("the #") == std::string_view::npos;
  return {.text = encode_with_noun(fill(pattern, phrase, article), filler, draws),
          .of_state_alone = !odd};
}

CaptionWriter::StatePair CaptionWriter::state_pair(const std::string& noun, Draws& draws) {
  const std::string thing(kNoun);
  std::string normal, anomalous;
  if (draws.chance(0.25F)) {
    const int i = draws.below(static_cast<int>(std::size(kNormalEnds)));
    normal = thing + " " + std::string(kNormalEnds[i]);
    anomalous = thing + " " + std::string(kAnomalousEnds[i]);
  } else {
    // A plain noun is a flawless one, as AnomalyCLIP's prompts have it.
    const bool plain = draws.chance(0.2F);
    normal = plain ? thing : join({pick(kNormal, draws), thing});
    anomalous = join({pick(kAnomalous, draws), thing});
  }
  return pair_of(normal, anomalous, noun, draws);
}

CaptionWriter::StatePair CaptionWriter::odd_pair(const std::string& noun, Draws& draws) {
  const std::string odd = join({pick(kOdd, draws), kNoun});
  return pair_of(join({kUsual, kNoun}), odd, noun, draws);
}

CaptionWriter::StatePair CaptionWriter::pair_of(const std::string& normal,
                                                const std::string& anomalous,
                                                const std::string& noun,
                                                Draws& draws) {
  const std::string filler = noun.empty() && draws.chance(0.4F) ? "object" : noun;
  const std::string_view pattern = pick(kTemplates, draws);
  const bool article = pattern.find("the #") == std::string_view::npos;
  Draws twin = draws;  // The same random noun in both.
  StatePair pair;
  pair.normal = encode_with_noun(fill(pattern, normal, article), filler, draws);
  pair.anomalous = encode_with_noun(fill(pattern, anomalous, article), filler, twin);
  return pair;
}

}  // namespace assay
