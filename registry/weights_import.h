#pragma once

#include "registry/backbone_catalogue.h"
#include "registry/clip.h"
#include "registry/safetensors.h"

#include <filesystem>
#include <string>

namespace assay {

/// A state dict in OpenAI's naming, from one in OpenAI's, open_clip's (the same names, all behind
/// `module.` where training saved it) or HuggingFace's `CLIPModel` (`spec/methods-baselines.md`
/// 1.10). Throws DataError, naming `origin` and the tensor, where HuggingFace's names are
/// incomplete.
[[nodiscard]] TensorMap to_openai_naming(TensorMap weights, const std::string& origin);

/// The backbone from the safetensors file `path`, in any of these namings.
/// Throws DataError where the file is missing (saying what to put there), damaged, not a CLIP's, or
/// one of other sizes than the catalogue says.
[[nodiscard]] Clip load_backbone(const BackboneDescription& backbone,
                                 const std::filesystem::path& path);

/// Writes `source` as `folder / backbone.weights_file`, in OpenAI's naming and with the dtypes it
/// has, after the checks of `load_backbone`; the path written. Its metadata names the source and
/// its SHA-256.
std::filesystem::path import_backbone(const BackboneDescription& backbone,
                                      const std::filesystem::path& source,
                                      const std::filesystem::path& folder);

}  // namespace assay
