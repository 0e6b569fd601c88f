#include "registry/text_pieces.h"

#include "core/error.h"
#include "core/unique_handle.h"

#include <locale.h>
#include <wctype.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <utility>

namespace assay {
namespace {

struct LocaleTraits {
  using Handle = locale_t;
  static Handle none() noexcept { return nullptr; }
  static void close(Handle locale) noexcept { ::freelocale(locale); }
};

// What a character is does not depend on the user's locale.
locale_t unicode() {
  static const UniqueHandle<LocaleTraits> kLocale(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr));
  if (!kLocale) throw ConfigError("locale C.UTF-8 is missing; install the C library's locales");
  return kLocale.get();
}

using CodePoints = std::u32string;

CodePoints decode(std::string_view text) {
  CodePoints out;
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    char32_t point = length == 1 ? lead : lead & (0x7FU >> length);
    bool valid = (lead < 0x80 || lead >= 0xC2) && lead < 0xF5 && i + length <= text.size();
    for (std::size_t k = 1; valid && k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      valid = (next & 0xC0U) == 0x80U;
      point = (point << 6) | (next & 0x3FU);
    }
    if (!valid) throw ConfigError("'{}': not UTF-8 at byte {}", text, i);
    out.push_back(point);
    i += length;
  }
  return out;
}

void append_utf8(char32_t point, std::string& out) {
  const auto tail = [&](int shift) {
    out.push_back(static_cast<char>(0x80U | ((point >> shift) & 0x3FU)));
  };
  if (point < 0x80) {
    out.push_back(static_cast<char>(point));
  } else if (point < 0x800) {
    out.push_back(static_cast<char>(0xC0U | (point >> 6)));
    tail(0);
  } else if (point < 0x10000) {
    out.push_back(static_cast<char>(0xE0U | (point >> 12)));
    tail(6);
    tail(0);
  } else {
    out.push_back(static_cast<char>(0xF0U | (point >> 18)));
    tail(12);
    tail(6);
    tail(0);
  }
}

// The character that `&name;` stands for, 0 where it is none that we know.
char32_t entity(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, char32_t>, 5> kNamed = {
      {{"amp", U'&'}, {"lt", U'<'}, {"gt", U'>'}, {"quot", U'"'}, {"apos", U'\''}}};
  for (const auto& [known, point] : kNamed) {
    if (name == known) return point;
  }
  if (!name.starts_with('#')) return 0;
  name.remove_prefix(1);
  const bool hexadecimal = name.starts_with('x') || name.starts_with('X');
  if (hexadecimal) name.remove_prefix(1);
  std::uint32_t point = 0;
  const auto [end, code] =
      std::from_chars(name.data(), name.data() + name.size(), point, hexadecimal ? 16 : 10);
  const bool legal = code == std::errc() && end == name.data() + name.size() && point <= 0x10FFFF &&
                     (point < 0xD800 || point > 0xDFFF);
  return legal ? point : 0;
}

std::string unescape(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = text.front() == '&' ? text.substr(0, 12).find(';') : 0;
    const char32_t point =
        end > 1 && end != std::string_view::npos ? entity(text.substr(1, end - 1)) : 0;
    if (point != 0) append_utf8(point, out);
    if (point == 0) out.push_back(text.front());
    text.remove_prefix(point != 0 ? end + 1 : 1);
  }
  return out;
}

bool is_ascii(char32_t c) { return c < 0x80; }
bool is_digit(char32_t c) { return c >= U'0' && c <= U'9'; }
bool is_letter(char32_t c) {
  if (is_ascii(c)) return (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z');
  return ::iswalpha_l(static_cast<wint_t>(c), unicode()) != 0;
}
bool is_space(char32_t c) {
  if (is_ascii(c)) return c == U' ' || (c >= U'\t' && c <= U'\r');
  return ::iswspace_l(static_cast<wint_t>(c), unicode()) != 0;
}
char32_t lower(char32_t c) {
  if (is_ascii(c)) return c >= U'A' && c <= U'Z' ? c + 32 : c;
  return static_cast<char32_t>(::towlower_l(static_cast<wint_t>(c), unicode()));
}

// Length of the piece at the start of `text`, which is not white space.
std::size_t piece_length(std::u32string_view text) {
  for (const std::u32string_view whole :
       {std::u32string_view(U"<|startoftext|>"), std::u32string_view(U"<|endoftext|>"),
        std::u32string_view(U"'s"), std::u32string_view(U"'t"), std::u32string_view(U"'re"),
        std::u32string_view(U"'ve"), std::u32string_view(U"'m"), std::u32string_view(U"'ll"),
        std::u32string_view(U"'d")}) {
    if (text.starts_with(whole)) return whole.size();
  }
  if (is_digit(text.front())) return 1;
  const bool letters = is_letter(text.front());
  std::size_t length = 1;
  while (length < text.size() && !is_space(text[length]) && !is_digit(text[length]) &&
         is_letter(text[length]) == letters) {
    ++length;
  }
  return length;
}

}  // namespace

std::vector<std::string> text_pieces(std::string_view text) {
  CodePoints points = decode(unescape(unescape(text)));
  for (char32_t& point : points) point = lower(point);
  std::vector<std::string> pieces;
  for (std::u32string_view rest = points; !rest.empty();) {
    if (is_space(rest.front())) {
      rest.remove_prefix(1);
      continue;
    }
    const std::size_t length = piece_length(rest);
    std::string& piece = pieces.emplace_back();
    for (const char32_t point : rest.substr(0, length)) append_utf8(point, piece);
    rest.remove_prefix(length);
  }
  return pieces;
}

}  // namespace assay
