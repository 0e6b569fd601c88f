#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace assay {

/// SHA-256 of `bytes`: 64 lower-case hexadecimal digits (OpenSSL).
[[nodiscard]] std::string sha256(std::span<const std::byte> bytes);
[[nodiscard]] std::string sha256(std::string_view text);

/// SHA-256 of a file's content. Throws DataError where the file cannot be read.
[[nodiscard]] std::string sha256_file(const std::filesystem::path& path);

/// XXH3-64 of `bytes`: checksum of records and messages, not an identity.
[[nodiscard]] std::uint64_t xxh3(std::span<const std::byte> bytes);

}  // namespace assay
