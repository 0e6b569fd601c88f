#pragma once

#include <filesystem>
#include <string>

namespace assay {

/// Where things lie in a workspace. Names are ids: they never grow with what people call things.
struct Workspace {
  std::filesystem::path root;

  [[nodiscard]] std::filesystem::path store() const { return root / "store.db"; }
  [[nodiscard]] std::filesystem::path features() const { return root / "features"; }
  [[nodiscard]] std::filesystem::path masks() const { return root / "masks"; }
  /// Where digests of files are kept: of `visa.test`, or of a backbone.
  [[nodiscard]] std::filesystem::path digests(const std::string& name) const {
    return root / "digests" / (name + ".json");
  }
  /// What runs now (`RunState` as JSON), rewritten every second by the coordinator.
  [[nodiscard]] std::filesystem::path live() const { return root / "live.json"; }
  [[nodiscard]] std::filesystem::path gangs() const { return root / "gangs"; }
  /// Requests to the coordinator (`runner/cancel_requests.h`).
  [[nodiscard]] std::filesystem::path cancel() const { return root / "cancel"; }
  /// `jobs/ab/abcdef...`: spec.json, attempt-N/, checkpoint.safetensors, scores.h5, result.json,
  /// whose atomic appearance is what makes a job done.
  [[nodiscard]] std::filesystem::path job(const std::string& id) const {
    return jobs() / id.substr(0, 2) / id;
  }
  [[nodiscard]] std::filesystem::path jobs() const { return root / "jobs"; }
};

}  // namespace assay
