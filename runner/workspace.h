#pragma once

#include <fmt/format.h>

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
  [[nodiscard]] std::filesystem::path jobs() const { return root / "jobs"; }
  /// `jobs/ab/abcdef....json`, whose atomic appearance is what makes a job done: spec, plan and
  /// what came out. Beside the job's folder, so that a job that leaves nothing else costs one file,
  /// and listing 256 folders tells what is done.
  [[nodiscard]] std::filesystem::path result(const std::string& id) const {
    return fmt::format("{}/jobs/{:.2}/{}.json", root.native(), id, id);
  }
  /// `jobs/ab/abcdef...`: checkpoint.safetensors, scores.h5, attempt-N/ with logs; made when there
  /// is something to keep. Of a job that has failed also spec.json.
  [[nodiscard]] std::filesystem::path job(const std::string& id) const {
    return fmt::format("{}/jobs/{:.2}/{}", root.native(), id, id);
  }
  /// Where older builds kept the result, which is still read.
  [[nodiscard]] std::filesystem::path former_result(const std::string& id) const {
    return job(id) / "result.json";
  }
  /// All attempts that have ended (`runner/attempt_file.h`).
  [[nodiscard]] std::filesystem::path attempts() const { return jobs() / "attempts.jsonl"; }
};

}  // namespace assay
