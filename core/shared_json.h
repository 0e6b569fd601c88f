#pragma once

#include <nlohmann/json.hpp>

#include <memory>
#include <utility>

namespace assay {

/// A JSON value that many objects hold and nobody changes: copying it costs a pointer.
class SharedJson {
 public:
  SharedJson() : value_(empty()) {}
  // NOLINTNEXTLINE(google-explicit-constructor): a field is assigned as plain JSON is.
  SharedJson(nlohmann::json value)
      : value_(std::make_shared<const nlohmann::json>(std::move(value))) {}

  [[nodiscard]] const nlohmann::json& operator*() const { return *value_; }
  [[nodiscard]] const nlohmann::json* operator->() const { return value_.get(); }
  /// Equal addresses are equal values; not the other way round.
  [[nodiscard]] const void* address() const { return value_.get(); }

  friend bool operator==(const SharedJson& a, const SharedJson& b) {
    return a.value_ == b.value_ || *a == *b;
  }

 private:
  static const std::shared_ptr<const nlohmann::json>& empty() {
    static const auto kEmpty = std::make_shared<const nlohmann::json>(nlohmann::json::object());
    return kEmpty;
  }

  std::shared_ptr<const nlohmann::json> value_;
};

}  // namespace assay
