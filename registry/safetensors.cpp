#include "registry/safetensors.h"

#include "core/error.h"
#include "core/file.h"

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <set>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

namespace assay {
namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeader = 100'000'000;  // The format's own limit.

constexpr std::array<std::pair<const char*, at::ScalarType>, 13> kTypes = {{{"F64", at::kDouble},
                                                                            {"F32", at::kFloat},
                                                                            {"F16", at::kHalf},
                                                                            {"BF16", at::kBFloat16},
                                                                            {"I64", at::kLong},
                                                                            {"I32", at::kInt},
                                                                            {"I16", at::kShort},
                                                                            {"I8", at::kChar},
                                                                            {"U64", at::kUInt64},
                                                                            {"U32", at::kUInt32},
                                                                            {"U16", at::kUInt16},
                                                                            {"U8", at::kByte},
                                                                            {"BOOL", at::kBool}}};

struct Entry {
  std::string name;
  at::ScalarType type = at::kFloat;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;
};

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

// What another format's first bytes say of a file; empty where they say nothing.
std::string_view archive_kind(std::string_view text) {
  // A zip archive's first entry: its name's length is at byte 26, the name at byte 30.
  if (text.starts_with("PK\x03\x04")) {
    const std::size_t length = text.size() > 30 ? static_cast<unsigned char>(text[26]) : 0;
    return text.substr(std::min<std::size_t>(text.size(), 30), length).ends_with(".npy")
               ? "a NumPy archive (.npz)"
               : "a PyTorch archive";
  }
  if (text.starts_with("\x80\x02")) return "a PyTorch archive";
  if (text.starts_with("\x80\x03") || text.starts_with("\x80\x04") ||
      text.starts_with("\x80\x05")) {
    return "a Python pickle";
  }
  if (text.starts_with("\x93NUMPY")) return "a NumPy array (.npy)";
  if (text.starts_with("\x89HDF\r\n")) return "an HDF5 file";
  if (text.starts_with("\x1F\x8B")) return "a gzip file (.gz)";
  return {};
}

// What people save under a weights file's name by mistake (cases W02, W03).
void refuse_known_foreigners(const std::filesystem::path& path, std::string_view text) {
  const std::string start = lower(text.substr(0, 1024));
  const std::size_t first = start.find_first_not_of(" \t\r\n");
  const std::string_view word =
      first == std::string::npos ? std::string_view() : std::string_view(start).substr(first);
  if (word.starts_with("version https://git-lfs")) {
    const std::size_t at = word.find("\nsize ");
    const std::string_view size =
        at == std::string_view::npos
            ? "an unknown number of"
            : word.substr(at + 6, word.find_first_not_of("0123456789", at + 6) - at - 6);
    throw DataError(
        "{}: this is a Git LFS pointer to a file of {} bytes, not the weights; run 'git lfs pull' "
        "where it came from",
        path.string(), size);
  }
  if (word.starts_with("<!doctype") || word.starts_with("<html")) {
    throw DataError("{}: this is an HTML page, not the weights; download the file itself",
                    path.string());
  }
  if (const std::string_view what = archive_kind(text); !what.empty()) {
    throw DataError("{}: this is {}, not safetensors; save it as safetensors", path.string(), what);
  }
}

// The header's bytes, its length checked before anything is allocated.
std::string_view header_of(const std::filesystem::path& path, std::string_view text) {
  if (text.size() < kLengthBytes) {
    throw DataError("{}: {} bytes long, a safetensors file has at least {}; get it again",
                    path.string(), text.size(), kLengthBytes);
  }
  std::uint64_t length = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;) {
    length = (length << 8) | static_cast<unsigned char>(text[i]);
  }
  const bool fits = length <= text.size() - kLengthBytes;
  // A length may look like another format's first bytes: 640 as those of a pickle.
  if (!fits || text.substr(kLengthBytes, 1) != "{") refuse_known_foreigners(path, text);
  if (!fits) {
    throw DataError(
        "{}: the first 8 bytes claim a header of {} bytes, {} are there; truncated or not a "
        "safetensors file",
        path.string(), length, text.size() - kLengthBytes);
  }
  if (length > kMaxHeader) {
    throw DataError("{}: header of {} bytes, the format allows {}", path.string(), length,
                    kMaxHeader);
  }
  return text.substr(kLengthBytes, length);
}

// The header as JSON. The parser keeps the last of equal keys; the format forbids them.
nlohmann::json parse_header(const std::filesystem::path& path, std::string_view header) {
  if (header.empty()) {
    throw DataError("{}: not a safetensors file: its header has 0 bytes", path.string());
  }
  std::vector<std::set<std::string>> keys;  // Of each object that is open.
  const auto look = [&](int /*depth*/, nlohmann::json::parse_event_t event, nlohmann::json& json) {
    using Event = nlohmann::json::parse_event_t;
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(json.get<std::string>()).second) {
      throw DataError("{}: its header has the key '{}' twice, which the format forbids",
                      path.string(), json.get<std::string>());
    }
    return true;
  };
  try {
    nlohmann::json json = nlohmann::json::parse(header, look);
    if (json.is_object()) return json;
    throw DataError("{}: not a safetensors file: its header is of type {}, expected an object",
                    path.string(), json.type_name());
  } catch (const nlohmann::json::parse_error& error) {
    throw DataError("{}: not a safetensors file: its header is no JSON from byte {} on",
                    path.string(), error.byte);
  }
}

Entry parse_entry(const std::filesystem::path& path,
                  const std::string& name,
                  const nlohmann::json& json) {
  Entry entry;
  entry.name = name;
  const auto dtype = json.at("dtype").get<std::string>();
  const auto* type = std::ranges::find(kTypes, dtype, [](const auto& pair) { return pair.first; });
  if (type == kTypes.end()) {
    throw DataError("{}: tensor '{}' has dtype {}, which this build does not read", path.string(),
                    name, dtype);
  }
  entry.type = type->second;
  std::uint64_t bytes = c10::elementSize(entry.type);
  bool overflow = false;
  for (const nlohmann::json& extent : json.at("shape")) {
    if (!extent.is_number_unsigned()) overflow = true;
    const auto size = extent.get<std::uint64_t>();
    overflow = overflow || __builtin_mul_overflow(bytes, size, &bytes) || bytes > (1ULL << 60);
    entry.shape.push_back(static_cast<std::int64_t>(size));
  }
  entry.begin = json.at("data_offsets").at(0).get<std::uint64_t>();
  entry.end = json.at("data_offsets").at(1).get<std::uint64_t>();
  if (overflow || entry.end < entry.begin || entry.end - entry.begin != bytes) {
    throw DataError("{}: tensor '{}' of shape {} and dtype {} cannot lie at bytes {} to {}",
                    path.string(), name, json.at("shape").dump(), dtype, entry.begin, entry.end);
  }
  return entry;
}

// Each byte behind the header belongs to exactly one tensor.
void check_layout(const std::filesystem::path& path,
                  std::vector<Entry>& entries,
                  std::uint64_t available) {
  std::ranges::sort(entries, {}, [](const Entry& e) { return std::pair(e.begin, e.end); });
  std::uint64_t position = 0;
  for (const Entry& entry : entries) {
    if (entry.begin < position) {
      throw DataError("{}: tensor '{}' overlaps another one", path.string(), entry.name);
    }
    if (entry.end > available) {
      throw DataError(
          "{}: truncated: tensor '{}' ends {} bytes behind the header, the file has {}; get it "
          "again",
          path.string(), entry.name, entry.end, available);
    }
    if (entry.begin > position) {
      throw DataError("{}: {} bytes before tensor '{}' belong to no tensor", path.string(),
                      entry.begin - position, entry.name);
    }
    position = entry.end;
  }
  if (position != available) {
    throw DataError("{}: {} bytes behind the last tensor belong to none", path.string(),
                    available - position);
  }
}

at::Tensor copied(const Entry& entry, const std::byte* data) {
  at::Tensor tensor = at::empty(entry.shape, entry.type);
  if (entry.end > entry.begin) {
    std::memcpy(tensor.mutable_data_ptr(), data, entry.end - entry.begin);
  }
  return tensor;
}

// `make(entry, data)` makes the tensor of each entry.
template <typename Make>
SafeTensors read_tensors(const std::filesystem::path& path,
                         std::span<const std::byte> bytes,
                         Make make) {
  const std::string_view text = as_text(bytes);
  const std::string_view header = header_of(path, text);
  const std::span<const std::byte> data = bytes.subspan(kLengthBytes + header.size());

  SafeTensors content;
  std::vector<Entry> entries;
  const nlohmann::json json = parse_header(path, header);
  for (const auto& [name, value] : json.items()) {
    const bool is_metadata = name == "__metadata__";
    try {
      if (is_metadata)
        value.get_to(content.metadata);
      else
        entries.push_back(parse_entry(path, name, value));
    } catch (const nlohmann::json::exception&) {
      throw DataError("{}: not a safetensors file: '{}' in its header is not {}", path.string(),
                      name, is_metadata ? "strings by name" : "dtype, shape and data_offsets");
    }
  }
  check_layout(path, entries, data.size());
  for (const Entry& entry : entries) {
    content.tensors.emplace(entry.name, make(entry, data.data() + entry.begin));
  }
  return content;
}

}  // namespace

MappedSafeTensors map_safetensors(const std::filesystem::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  const auto make = [&](const Entry& entry, const std::byte* data) {
    if (reinterpret_cast<std::uintptr_t>(data) % c10::elementSize(entry.type) != 0) {
      return copied(entry, data);
    }
    // LibTorch has no tensor of constants.
    return at::from_blob(
        const_cast<std::byte*>(data), entry.shape, [file](void*) {}, entry.type);
  };
  return {read_tensors(path, file->bytes(), make), file->bytes()};
}

SafeTensors read_safetensors(const std::filesystem::path& path) {
  return read_tensors(path, MappedFile(path).bytes(), copied);
}

void write_safetensors(const std::filesystem::path& path, const SafeTensors& content) {
  // Wide elements first: each tensor then begins at a multiple of its element size.
  std::vector<std::pair<std::string, at::Tensor>> ordered;
  for (const auto& [name, tensor] : content.tensors) {
    ordered.emplace_back(name, tensor.detach().cpu().contiguous());
  }
  std::ranges::stable_sort(ordered, std::greater<>(),
                           [](const auto& item) { return item.second.element_size(); });

  nlohmann::json header = nlohmann::json::object();
  if (!content.metadata.empty()) header["__metadata__"] = content.metadata;
  std::uint64_t position = 0;
  for (const auto& [name, tensor] : ordered) {
    const at::ScalarType scalar = tensor.scalar_type();
    const auto* type =
        std::ranges::find(kTypes, scalar, [](const auto& pair) { return pair.second; });
    if (type == kTypes.end()) {
      throw std::invalid_argument(fmt::format("tensor '{}' has dtype {}, which is not written",
                                              name, c10::toString(scalar)));
    }
    const std::uint64_t end = position + tensor.nbytes();
    header[name] = {
        {"dtype", type->first}, {"shape", tensor.sizes().vec()}, {"data_offsets", {position, end}}};
    position = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');

  std::vector<std::byte> bytes(kLengthBytes + text.size() + position);
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    bytes[i] = static_cast<std::byte>(text.size() >> (8 * i));
  }
  std::memcpy(bytes.data() + kLengthBytes, text.data(), text.size());
  std::byte* out = bytes.data() + kLengthBytes + text.size();
  for (const auto& [name, tensor] : ordered) {
    if (tensor.nbytes() > 0) std::memcpy(out, tensor.const_data_ptr(), tensor.nbytes());
    out += tensor.nbytes();
  }
  write_file_atomically(path, std::span<const std::byte>(bytes));
}

}  // namespace assay
