#pragma once

#include <nlohmann/json.hpp>

#include <optional>

namespace assay {

/// The value, or null where there is none: what is undefined is absent, never 0.
template <typename T>
nlohmann::json optional_json(const std::optional<T>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

/// The inverse.
template <typename T>
std::optional<T> optional_value(const nlohmann::json& value) {
  if (value.is_null()) return std::nullopt;
  return value.get<T>();
}

}  // namespace assay
