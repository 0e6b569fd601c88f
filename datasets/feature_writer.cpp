#include "core/error.h"
#include "core/file.h"
#include "datasets/feature_file.h"
#include "datasets/feature_store.h"

#include <ATen/ATen.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace assay {
namespace {

namespace fs = std::filesystem;
using Bytes = std::span<const std::byte>;

/// Bytes after which what was written goes to the disk, so that a power cut costs little.
constexpr std::int64_t kBytesPerSync = std::int64_t{256} << 20;

fs::path partial_path(fs::path path) { return path += ".partial"; }

void write_at(int file, const fs::path& path, std::int64_t offset, Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(file, bytes.data(), bytes.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int code = errno;
      struct statvfs disk {};
      const bool known = ::statvfs(path.parent_path().c_str(), &disk) == 0;
      throw DataError("{}: {} bytes not written, {} free: {}", path.string(), bytes.size(),
                      known ? std::to_string(disk.f_bavail * disk.f_frsize) : "?",
                      std::strerror(code));
    }
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += count;
  }
}

Bytes bytes_of(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.data_ptr()), tensor.nbytes()};
}

void check_tensor(const at::Tensor& tensor,
                  at::ScalarType type,
                  at::IntArrayRef sizes,
                  const char* name) {
  const bool right = tensor.defined() && tensor.device().is_cpu() && tensor.is_contiguous() &&
                     tensor.scalar_type() == type && tensor.sizes() == sizes;
  if (!right) {
    throw std::invalid_argument(std::string("a feature record's '") + name +
                                "' has not the type and shape of its shard's layout");
  }
}

}  // namespace

struct FeatureShardWriter::State {
  fs::path path;
  Descriptor file;  // Also the claim: closing it gives the shard free.
  FeatureFile format;
  std::vector<std::uint64_t> done;
  std::int64_t unsynced_bytes = 0;

  [[nodiscard]] fs::path partial() const { return partial_path(path); }

  void write_done(std::int64_t index, std::uint64_t word) {
    done[static_cast<std::size_t>(index)] = word;
    write_at(file.get(), partial(), format.done_offset + 8 * index,
             std::as_bytes(std::span(&word, 1)));
  }
};

FeatureShardWriter::FeatureShardWriter(const fs::path& path, ShardLayout layout)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.path = path;
  state.file = claim_feature_file(state.partial(), layout);
  state.format = read_feature_file(state.partial());
  state.done.resize(layout.image_sha256.size());

  // A done word may have reached the disk before its record (power cut): only the checksum counts.
  const MappedFile map(state.partial());
  const auto part = [&](const RecordPart& where, std::int64_t index) {
    return map.bytes().subspan(static_cast<std::size_t>(where.offset + index * where.record_bytes),
                               static_cast<std::size_t>(where.record_bytes));
  };
  for (std::int64_t i = 0; i < state.format.num_records(); ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, map.bytes().data() + state.format.done_offset + 8 * i, sizeof word);
    if (word == 0) continue;
    const bool holds = word == done_word(part(state.format.patch, i), part(state.format.norm, i),
                                         part(state.format.global, i));
    if (holds) {
      state.done[static_cast<std::size_t>(i)] = word;
    } else {
      state.write_done(i, 0);
    }
  }
}

FeatureShardWriter::~FeatureShardWriter() = default;

bool FeatureShardWriter::is_done(std::int64_t index) const {
  return state_->done.at(static_cast<std::size_t>(index)) != 0;
}

void FeatureShardWriter::write(std::int64_t index, const FeatureRecord& record) {
  State& state = *state_;
  const FeatureFile& format = state.format;
  if (!state.file || index < 0 || index >= format.num_records()) {
    throw std::invalid_argument("FeatureShardWriter: no such record, or finished");
  }
  check_tensor(record.patch, at::kHalf,
               {format.streams, format.layers, format.patches, format.channels}, "patch");
  check_tensor(record.norm, at::kFloat, {format.streams, format.layers, format.patches}, "norm");
  check_tensor(record.global, at::kFloat, {format.channels}, "global");

  const auto put = [&](const RecordPart& part, const at::Tensor& tensor) {
    write_at(state.file.get(), state.partial(), part.offset + index * part.record_bytes,
             bytes_of(tensor));
    state.unsynced_bytes += part.record_bytes;
  };
  put(format.patch, record.patch);
  put(format.norm, record.norm);
  put(format.global, record.global);
  // The kernel keeps this order whatever kills the process; the checksum covers a power cut.
  state.write_done(
      index, done_word(bytes_of(record.patch), bytes_of(record.norm), bytes_of(record.global)));
  if (state.unsynced_bytes < kBytesPerSync) return;
  if (::fdatasync(state.file.get()) != 0) {
    throw DataError("{}: fdatasync failed: {}", state.partial().string(), std::strerror(errno));
  }
  state.unsynced_bytes = 0;
}

void FeatureShardWriter::finish() {
  State& state = *state_;
  const auto check = [&](bool done, const char* what) {
    if (!done) {
      throw DataError("{}: {} failed: {}", state.path.string(), what, std::strerror(errno));
    }
  };
  if (!state.file) throw std::invalid_argument("FeatureShardWriter: finished already");
  const auto missing = std::ranges::find(state.done, std::uint64_t{0});
  if (missing != state.done.end()) {
    throw DataError("{}: record {} is missing, {} of {} in all", state.partial().string(),
                    missing - state.done.begin(), std::ranges::count(state.done, std::uint64_t{0}),
                    state.done.size());
  }
  check(::fsync(state.file.get()) == 0, "fsync");
  mark_feature_file_complete(state.partial());
  check(::fsync(state.file.get()) == 0, "fsync");
  check(::rename(state.partial().c_str(), state.path.c_str()) == 0, "rename");
  fsync_folder(state.path.parent_path());
  state.file.reset();
}

}  // namespace assay
