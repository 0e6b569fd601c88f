#include "core/digest.h"

#include "core/error.h"
#include "core/unique_handle.h"

#include <openssl/evp.h>
#include <xxhash.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

namespace assay {
namespace {

struct DigestTraits {
  using Handle = EVP_MD_CTX*;
  static Handle none() noexcept { return nullptr; }
  static void close(Handle context) noexcept { EVP_MD_CTX_free(context); }
};

void openssl_check(int code, const char* call) {
  if (code != 1) throw Error("{} failed", call);
}

/// Looked up once: by its name that costs as much as hashing a short text.
const EVP_MD* sha256_method() {
  static const EVP_MD* const method = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return method;
}

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) { restart(); }
  void restart() {
    openssl_check(EVP_DigestInit_ex(context_.get(), sha256_method(), nullptr), "EVP_DigestInit_ex");
  }
  void update(std::span<const std::byte> bytes) {
    openssl_check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()), "EVP_DigestUpdate");
  }
  std::string hex() {
    std::array<unsigned char, 32> digest{};
    unsigned int size = 0;
    openssl_check(EVP_DigestFinal_ex(context_.get(), digest.data(), &size), "EVP_DigestFinal_ex");
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text(2 * digest.size(), '0');
    for (std::size_t i = 0; i < digest.size(); ++i) {
      text[2 * i] = kDigits[digest[i] >> 4];
      text[2 * i + 1] = kDigits[digest[i] & 15];
    }
    return text;
  }

 private:
  UniqueHandle<DigestTraits> context_;
};

}  // namespace

std::string sha256(std::span<const std::byte> bytes) {
  thread_local Sha256 digest;  // Making one takes as long as hashing a short text.
  digest.restart();
  digest.update(bytes);
  return digest.hex();
}

std::string sha256(std::string_view text) { return sha256(std::as_bytes(std::span(text))); }

std::string sha256_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw DataError("{}: cannot be opened: {}", path.string(), std::strerror(errno));
  Sha256 digest;
  std::vector<char> buffer(1 << 18);
  while (file) {
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    digest.update(std::as_bytes(std::span(buffer.data(), static_cast<std::size_t>(file.gcount()))));
  }
  if (file.bad()) throw DataError("{}: cannot be read: {}", path.string(), std::strerror(errno));
  return digest.hex();
}

std::uint64_t xxh3(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace assay
