#include "registry/method.h"

#include "core/error.h"
#include "registry/method_registry.h"
#include "registry/methods/anomalyclip.h"
#include "registry/methods/clip.h"
#include "registry/methods/faprompt.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <set>

namespace assay {

Batch Batch::to(at::Device device) const {
  Batch moved = *this;
  for (at::Tensor* tensor : {&moved.patch_features, &moved.patch_norms, &moved.global,
                             &moved.labels, &moved.masks, &moved.has_pixel_term}) {
    if (tensor->defined()) *tensor = tensor->to(device);
  }
  return moved;
}

Batch Batch::select(std::span<const std::int64_t> images) const {
  Batch selected = *this;
  const at::Tensor rows = at::tensor(at::IntArrayRef(images.data(), images.size()), at::kLong);
  for (at::Tensor* tensor : {&selected.patch_features, &selected.patch_norms, &selected.global,
                             &selected.labels, &selected.masks, &selected.has_pixel_term}) {
    if (tensor->defined()) *tensor = tensor->index_select(0, rows.to(tensor->device()));
  }
  selected.category_words.clear();
  for (const std::int64_t image : images) {
    if (category_words.empty()) break;
    selected.category_words.push_back(category_words.at(static_cast<std::size_t>(image)));
  }
  return selected;
}

void MethodRegistry::add(const std::string& name, Factory factory) {
  factories_.insert_or_assign(name, std::move(factory));
}

std::unique_ptr<Method> MethodRegistry::make(const MethodContext& context,
                                             std::uint64_t seed) const {
  const auto found = factories_.find(context.resolved.method);
  if (found != factories_.end()) return found->second(context, seed);
  std::vector<std::string> known;
  for (const auto& [name, factory] : factories_) known.push_back(name);
  throw ConfigError("'{}' is not a method; known: {}", context.resolved.method,
                    fmt::join(known, ", "));
}

void Method::average_texts(const std::vector<std::unique_ptr<Method>>& /*members*/) {
  throw ConfigError("this method does not judge by two texts: an ensemble cannot average them");
}

MethodRegistry builtin_methods() {
  MethodRegistry methods;
  methods.add("anomalyclip", make_anomalyclip);
  methods.add("clip", make_clip);
  methods.add("faprompt", make_faprompt);
  return methods;
}

std::unique_ptr<Method> make_method(const MethodContext& context, std::uint64_t seed) {
  return builtin_methods().make(context, seed);
}

void load_parameters(const Method& method, const TensorMap& values) {
  std::set<std::string> known;
  for (const auto& [name, parameter] : method.parameters()) {
    known.insert(name);
    const auto value = values.find(name);
    if (value == values.end()) {
      throw DataError("parameter '{}' is missing, expected shape [{}]", name,
                      fmt::join(parameter.sizes(), ", "));
    }
    if (value->second.sizes() != parameter.sizes()) {
      throw DataError("parameter '{}' has shape [{}], expected [{}]", name,
                      fmt::join(value->second.sizes(), ", "), fmt::join(parameter.sizes(), ", "));
    }
  }
  for (const auto& [name, value] : values) {
    if (!known.contains(name)) throw DataError("parameter '{}' is not one of the method's", name);
  }
  const at::NoGradGuard no_grad;
  for (const auto& [name, parameter] : method.parameters()) parameter.copy_(values.at(name));
}

}  // namespace assay
