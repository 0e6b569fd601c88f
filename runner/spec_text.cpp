#include "runner/spec_text.h"

#include "runner/job_spec.h"

#include <stdexcept>

namespace assay {

std::string SpecText::text() const {
  std::string text;
  write_to(text);
  return text;
}

void SpecText::write_to(std::string& text) const {
  text.clear();
  if (!pieces_) return;
  std::size_t size = 0;
  for (const std::string& piece : *pieces_) size += piece.size();
  for (const std::string& fill : fills_) size += fill.size();
  text.reserve(size);
  for (std::size_t i = 0; i < pieces_->size(); ++i) {
    text += (*pieces_)[i];
    if (i < fills_.size()) text += fills_[i];
  }
}

// No name of a method, set or switch has a control character.
nlohmann::json SpecTemplate::hole() { return "\x01"; }

SpecTemplate::SpecTemplate(const nlohmann::json& spec) {
  const std::string text = canonical_json(spec), mark = hole().dump();
  auto pieces = std::make_shared<std::vector<std::string>>();
  std::size_t begin = 0;
  for (std::size_t end = text.find(mark); end != std::string::npos; end = text.find(mark, begin)) {
    pieces->push_back(text.substr(begin, end - begin));
    begin = end + mark.size();
  }
  pieces->push_back(text.substr(begin));
  pieces_ = std::move(pieces);
}

SpecText SpecTemplate::fill(std::vector<std::string> values) const {
  if (!pieces_ || values.size() + 1 != pieces_->size()) {
    throw std::invalid_argument("a spec's template needs one value a hole");
  }
  SpecText spec;
  spec.pieces_ = pieces_;
  spec.fills_ = std::move(values);
  return spec;
}

}  // namespace assay
