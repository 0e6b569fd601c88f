#pragma once

#include <nlohmann/json.hpp>

#include <memory>
#include <string>
#include <vector>

namespace assay {

/// The canonical JSON of a job's spec, kept as pieces that jobs share and what is its own: a plan
/// of 100,000 jobs fits into memory.
class SpecText {
 public:
  SpecText() = default;

  /// Canonical: its SHA-256 is the job's id.
  [[nodiscard]] std::string text() const;
  /// The same in place of `text`'s content, whose memory many specs can share.
  void write_to(std::string& text) const;
  [[nodiscard]] nlohmann::json json() const { return nlohmann::json::parse(text()); }

 private:
  friend class SpecTemplate;
  std::shared_ptr<const std::vector<std::string>> pieces_;
  std::vector<std::string> fills_;
};

/// Specs that differ in a few fields alone: made canonical once, filled many times.
class SpecTemplate {
 public:
  SpecTemplate() = default;
  /// `spec` has `hole()` where jobs differ.
  explicit SpecTemplate(const nlohmann::json& spec);

  [[nodiscard]] static nlohmann::json hole();
  /// `values` are canonical JSON, in the order of the holes' keys; one a hole.
  [[nodiscard]] SpecText fill(std::vector<std::string> values) const;

 private:
  std::shared_ptr<const std::vector<std::string>> pieces_;
};

}  // namespace assay
