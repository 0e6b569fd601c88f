#include "results/text.h"

#include <algorithm>
#include <utility>

namespace assay {

std::size_t width(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string pad_left(const std::string& text, std::size_t size) {
  return std::string(size - std::min(size, width(text)), ' ') + text;
}

std::string pad_right(const std::string& text, std::size_t size) {
  return text + std::string(size - std::min(size, width(text)), ' ');
}

std::string escape_markdown(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|' || c == '\\' || c == '*' || c == '<' || c == '`') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string escape_latex(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
      case '%':
      case '$':
      case '#':
      case '_':
      case '{':
      case '}':
        escaped += '\\';
        escaped += c;
        break;
      case '~': escaped += "\\textasciitilde{}"; break;
      case '^': escaped += "\\textasciicircum{}"; break;
      case '\\': escaped += "\\textbackslash{}"; break;
      case '<': escaped += "\\textless{}"; break;
      case '>': escaped += "\\textgreater{}"; break;
      case '|': escaped += "\\textbar{}"; break;
      default: escaped += c;
    }
  }
  // Our own signs, which pdfTeX's default fonts lack.
  for (const auto& [sign, command] : {std::pair<std::string, std::string>{"±", "$\\pm$"},
                                      {"†", "\\textsuperscript{\\dag}"},
                                      {"°", "$^\\circ$"}}) {
    for (std::size_t at = escaped.find(sign); at != std::string::npos;
         at = escaped.find(sign, at)) {
      escaped.replace(at, sign.size(), command);
    }
  }
  return escaped;
}

}  // namespace assay
