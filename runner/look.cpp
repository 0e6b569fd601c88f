#include "runner/look.h"

#include "core/error.h"

namespace assay {

Store open_store(const Places& places) {
  const Workspace workspace = places.paths();
  if (!std::filesystem::exists(workspace.store())) {
    throw ConfigError(
        "{}: there is no workspace; 'assay run STUDY.toml' makes one, or name it with "
        "--workspace",
        workspace.root.string());
  }
  return Store(workspace.store());
}

}  // namespace assay
