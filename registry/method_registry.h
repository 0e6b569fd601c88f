#pragma once

#include "registry/method.h"

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace assay {

/// From a method's name to the method. A value: a test can build a smaller one.
class MethodRegistry {
 public:
  using Factory = std::function<std::unique_ptr<Method>(const MethodContext&, std::uint64_t seed)>;

  void add(const std::string& name, Factory factory);
  /// Makes the method `context.resolved.method` with its initial parameters. Throws ConfigError,
  /// listing the known ones, where it is unknown.
  [[nodiscard]] std::unique_ptr<Method> make(const MethodContext& context,
                                             std::uint64_t seed) const;

 private:
  std::map<std::string, Factory> factories_;
};

[[nodiscard]] MethodRegistry builtin_methods();

}  // namespace assay
