#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>

namespace assay {

using TensorMap = std::map<std::string, at::Tensor>;

/// A `.safetensors` file: tensors by name and the string metadata of its header.
struct SafeTensors {
  TensorMap tensors;
  std::map<std::string, std::string> metadata;
};

/// Reads the whole file; tensors own their memory and keep their dtype (F64, F32, F16, BF16, I64,
/// I32, U8, BOOL). Nothing executes. Throws DataError where the file is missing, not of this format
/// (a git-lfs pointer and a web page are named as such), has a header over 100 MB, offsets out of
/// the file, overlapping or of a wrong length.
[[nodiscard]] SafeTensors read_safetensors(const std::filesystem::path& path);

/// Writes atomically (`core/file.h`); every tensor is aligned to 8 bytes or more. Equal input gives
/// equal bytes.
void write_safetensors(const std::filesystem::path& path, const SafeTensors& content);

}  // namespace assay
