#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>

namespace assay {

using TensorMap = std::map<std::string, at::Tensor>;

/// A `.safetensors` file: tensors by name and the string metadata of its header.
///
/// The format: 8 bytes little-endian length of the header; the header, JSON: name -> {dtype, shape,
/// data_offsets}, `__metadata__` -> strings; the tensors' bytes, row-major, without gaps.
struct SafeTensors {
  TensorMap tensors;
  std::map<std::string, std::string> metadata;
};

struct MappedSafeTensors : SafeTensors {
  std::span<const std::byte> file;  ///< As long as one of the tensors lives.
};

/// Reads the whole file; tensors own their memory and keep their dtype (F64, F32, F16, BF16, I64,
/// I32, I16, I8, U64, U32, U16, U8, BOOL). Nothing executes. Throws DataError where the file is
/// missing, not of this format (a git-lfs pointer, a web page, PyTorch, NumPy, HDF5 and gzip files
/// are named as such), has a header over 100 MB or with one key twice, offsets out of the file,
/// overlapping or of a wrong length.
[[nodiscard]] SafeTensors read_safetensors(const std::filesystem::path& path);

/// The same without a copy: tensors are views of the memory-mapped file, which they keep open. They
/// must not be written to. A tensor that does not lie at a multiple of its element size is copied.
[[nodiscard]] MappedSafeTensors map_safetensors(const std::filesystem::path& path);

/// Writes atomically (`core/file.h`); every tensor is aligned to the size of its elements, the
/// first to 8 bytes. Equal input gives equal bytes. Throws std::invalid_argument on a dtype that
/// the format (as read here) does not have.
void write_safetensors(const std::filesystem::path& path, const SafeTensors& content);

}  // namespace assay
