#include "registry/tokenizer.h"

#include "core/digest.h"
#include "core/error.h"
#include "core/file.h"
#include "registry/text_pieces.h"

#include <zlib.h>

#include <algorithm>
#include <numeric>

namespace assay {
namespace {

constexpr std::string_view kDigest =
    "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a";
constexpr std::int64_t kFirstMerge = 512;
constexpr std::int64_t kNumMerges = Tokenizer::kStart - kFirstMerge;

void zlib_check(int code, int expected, const std::filesystem::path& path) {
  if (code != expected) throw DataError("{}: zlib reports error {}", path.string(), code);
}

std::string inflate_gzip(const std::filesystem::path& path, std::string compressed) {
  z_stream stream{};
  stream.next_in = reinterpret_cast<Bytef*>(compressed.data());
  stream.avail_in = static_cast<uInt>(compressed.size());
  zlib_check(inflateInit2(&stream, 16 + MAX_WBITS), Z_OK, path);
  std::string text(8U << 20, '\0');  // The file of that digest holds 3.1 MB.
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  const int code = inflate(&stream, Z_FINISH);
  text.resize(stream.total_out);
  inflateEnd(&stream);
  zlib_check(code, Z_STREAM_END, path);
  return text;
}

// Ids of the 256 bytes: printable ones first, then the others in increasing order.
std::vector<std::int64_t> ids_of_bytes() {
  std::vector<std::int64_t> bytes(256);
  std::iota(bytes.begin(), bytes.end(), 0);
  std::ranges::stable_partition(bytes, [](std::int64_t b) {
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  });
  std::vector<std::int64_t> ids(256);
  for (std::size_t id = 0; id < bytes.size(); ++id) {
    ids[static_cast<std::size_t>(bytes[id])] = static_cast<std::int64_t>(id);
  }
  return ids;
}

// The merges file spells byte b with the code point b where b is printable, else 256 onwards.
std::string spelling(std::int64_t id, std::int64_t byte) {
  const std::int64_t point = id < 188 ? byte : 256 + id - 188;
  if (point < 0x80) return {static_cast<char>(point)};
  return {static_cast<char>(0xC0 | (point >> 6)), static_cast<char>(0x80 | (point & 0x3F))};
}

std::uint64_t pair_key(std::int64_t left, std::int64_t right) {
  return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint64_t>(right);
}

}  // namespace

Tokenizer::Tokenizer(const std::filesystem::path& merges) : byte_ids_(ids_of_bytes()) {
  if (!std::filesystem::exists(merges)) {
    throw DataError("{}: CLIP's merges are missing; tools/setup.sh installs them", merges.string());
  }
  std::string compressed = read_file(merges);
  const std::string digest = sha256(compressed);
  if (digest != kDigest) {
    throw DataError(
        "{}: SHA-256 {}, expected {} (CLIP's merges); remove the file and run tools/setup.sh",
        merges.string(), digest, kDigest);
  }
  const std::string text = inflate_gzip(merges, std::move(compressed));

  std::unordered_map<std::string, std::int64_t> ids;  // Symbols by their spelling.
  ids.reserve(static_cast<std::size_t>(2 * kStart));
  for (std::size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    const std::string symbol = spelling(byte_ids_[byte], static_cast<std::int64_t>(byte));
    ids.emplace(symbol, byte_ids_[byte]);
    ids.emplace(symbol + "</w>", 256 + byte_ids_[byte]);
  }
  merges_.reserve(static_cast<std::size_t>(2 * kNumMerges));
  std::size_t line = text.find('\n') + 1;  // Below the header.
  for (std::int64_t id = kFirstMerge; id < kStart; ++id) {
    const std::size_t space = text.find(' ', line), end = text.find('\n', line);
    const std::string left = text.substr(line, space - line);
    const std::string right = text.substr(space + 1, end - space - 1);
    merges_.emplace(pair_key(ids.at(left), ids.at(right)), id);
    ids.emplace(left + right, id);
    line = end + 1;
  }
}

void Tokenizer::append_word(std::string_view word, std::vector<std::int64_t>& ids) const {
  std::vector<std::int64_t> symbols;
  for (const char c : word) symbols.push_back(byte_ids_[static_cast<unsigned char>(c)]);
  symbols.back() += 256;
  const auto merged = [&](std::size_t i) {  // Id of symbols i and i + 1 together.
    const auto found = merges_.find(pair_key(symbols[i], symbols[i + 1]));
    return found == merges_.end() ? kStart : found->second;
  };
  while (symbols.size() > 1) {
    std::int64_t best = kStart;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) best = std::min(best, merged(i));
    if (best == kStart) break;
    std::vector<std::int64_t> next;
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      const bool here = i + 1 < symbols.size() && merged(i) == best;
      next.push_back(here ? best : symbols[i]);
      if (here) ++i;
    }
    symbols = std::move(next);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

std::vector<std::int64_t> Tokenizer::encode(std::string_view text) const {
  std::vector<std::int64_t> ids;
  for (const std::string& piece : text_pieces(text)) {
    if (piece == "<|startoftext|>") {
      ids.push_back(kStart);
    } else if (piece == "<|endoftext|>") {
      ids.push_back(kEnd);
    } else {
      append_word(piece, ids);
    }
  }
  return ids;
}

std::vector<std::int64_t> Tokenizer::encode_prompt(std::string_view text, bool cut) const {
  std::vector<std::int64_t> ids = {kStart};
  for (const std::int64_t id : encode(text)) ids.push_back(id);
  ids.push_back(kEnd);
  if (std::ssize(ids) <= kContext) return ids;
  if (!cut) {
    throw ConfigError("prompt '{}' has {} tokens with start and end, {} > {}; shorten it", text,
                      ids.size(), ids.size(), kContext);
  }
  ids.resize(static_cast<std::size_t>(kContext));
  ids.back() = kEnd;
  return ids;
}

}  // namespace assay
