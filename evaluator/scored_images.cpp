#include "evaluator/scored_images.h"

#include "core/error.h"
#include "core/nearest_name.h"
#include "registry/safetensors.h"

#include <ATen/ATen.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

namespace assay {
namespace {

// A tensor that the file may hold, in NumPy's words.
struct Expected {
  std::string name;
  std::vector<at::ScalarType> types;
  const char* type_text;
  std::int64_t dimensions;
  const char* conversion;
};

const std::array<Expected, 4>& expected_tensors() {
  static const std::array<Expected, 4> expected = {
      {{"map", {at::kFloat}, "float32", 3, "map.astype(numpy.float32)"},
       {"mask", {at::kByte, at::kBool}, "uint8", 3, "(mask > 0).astype(numpy.uint8)"},
       {"score",
        {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16},
        "float32",
        1,
        "score.astype(numpy.float32)"},
       {"label",
        {at::kByte, at::kChar, at::kShort, at::kInt, at::kLong, at::kBool, at::kHalf, at::kFloat,
         at::kDouble},
        "uint8",
        1,
        "label.astype(numpy.uint8)"}}};
  return expected;
}

const char* numpy_name(at::ScalarType type) {
  switch (type) {
    case at::kDouble: return "float64";
    case at::kFloat: return "float32";
    case at::kHalf: return "float16";
    case at::kLong: return "int64";
    case at::kInt: return "int32";
    case at::kShort: return "int16";
    case at::kChar: return "int8";
    case at::kUInt64: return "uint64";
    case at::kUInt32: return "uint32";
    case at::kUInt16: return "uint16";
    case at::kByte: return "uint8";
    case at::kBool: return "bool";
    default: return c10::toString(type);
  }
}

std::string describe(const at::Tensor& tensor) {
  return fmt::format("{} [{}]", numpy_name(tensor.scalar_type()), fmt::join(tensor.sizes(), ", "));
}

// Takes the tensors of other names out and returns the names. They are only in the way where one of
// ours is missing: it may be there under the wrong name.
std::vector<std::string> take_others(const std::string& path, TensorMap& tensors) {
  std::vector<std::string> known, missing, others;
  for (const Expected& each : expected_tensors()) {
    known.push_back(each.name);
    if (!tensors.contains(each.name)) missing.push_back(each.name);
  }
  for (const auto& [name, tensor] : tensors) {
    if (std::ranges::find(known, name) == known.end()) others.push_back(name);
  }
  if (!others.empty() && !missing.empty()) {
    const std::string nearest = nearest_name(others.front(), missing);
    throw DataError(
        "{}: '{}' is not a tensor that metrics are made of{}; known: {}, of which '{}' {} missing; "
        "rename '{}' or leave it out",
        path, others.front(), nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest),
        fmt::join(known, ", "), fmt::join(missing, "', '"), missing.size() == 1 ? "is" : "are",
        others.front());
  }
  for (const std::string& name : others) tensors.erase(name);
  return others;
}

// The tensor, checked, or none.
at::Tensor take(const std::string& path, const TensorMap& tensors, const Expected& expected) {
  const auto found = tensors.find(expected.name);
  if (found == tensors.end()) return {};
  const at::Tensor& tensor = found->second;
  const bool right_type =
      std::ranges::find(expected.types, tensor.scalar_type()) != expected.types.end();
  if (!right_type || tensor.dim() != expected.dimensions) {
    const char* shape = expected.dimensions == 3 ? "images, height, width" : "images";
    throw DataError("{}: '{}' is {}, expected {} [{}]; save {}", path, expected.name,
                    describe(tensor), expected.type_text, shape,
                    right_type ? fmt::format("it with {} dimension{}", expected.dimensions,
                                             expected.dimensions == 1 ? "" : "s")
                               : expected.conversion);
  }
  for (std::int64_t i = 0; i < tensor.dim(); ++i) {
    if (tensor.size(i) > 0) continue;
    constexpr std::array<const char*, 3> kExtents = {"number of images", "height", "width"};
    throw DataError("{}: '{}' is {}: its {} is 0, expected at least 1", path, expected.name,
                    describe(tensor), kExtents[static_cast<std::size_t>(i)]);
  }
  return tensor;
}

// The extents that two tensors share must be equal.
void check_agreement(const std::string& path, const TensorMap& tensors) {
  for (const auto& [first_name, first] : tensors) {
    for (const auto& [name, tensor] : tensors) {
      const auto shared = static_cast<std::size_t>(std::min(first.dim(), tensor.dim()));
      if (first.sizes().slice(0, shared) == tensor.sizes().slice(0, shared)) continue;
      throw DataError("{}: '{}' is {}, '{}' is {}; expected the same {}", path, first_name,
                      describe(first), name, describe(tensor),
                      shared == 1 ? "number of images" : "images, height and width");
    }
  }
}

// A tensor of one number an image, or none.
std::vector<double> values_of(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  const at::Tensor wide = tensor.to(at::kDouble);
  return {wide.const_data_ptr<double>(), wide.const_data_ptr<double>() + wide.numel()};
}

std::vector<std::uint8_t> read_labels(const std::string& path, const at::Tensor& tensor) {
  std::vector<std::uint8_t> labels;
  for (const double label : values_of(tensor)) {
    if (label != 0 && label != 1) {
      throw DataError("{}: the label of image {} is {}, expected 0 (normal) or 1 (anomalous)", path,
                      labels.size(), label);
    }
    labels.push_back(label == 0 ? 0 : 1);
  }
  return labels;
}

std::vector<double> read_scores(const std::string& path, const at::Tensor& tensor) {
  std::vector<double> scores = values_of(tensor);
  const auto bad = std::ranges::find_if(scores, [](double score) { return !std::isfinite(score); });
  if (bad == scores.end()) return scores;
  throw DataError("{}: the score of image {} is {}, expected a finite number", path,
                  bad - scores.begin(), *bad);
}

// Whether a byte is neither 0 nor 1; eight at a time.
bool has_third_value(std::span<const std::uint8_t> bytes) {
  std::uint64_t seen = 0;
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, bytes.data() + i, sizeof eight);
    seen |= eight;
  }
  for (; i < bytes.size(); ++i) seen |= bytes[i];
  return (seen & ~0x0101010101010101ULL) != 0;
}

// The whole pages of some bytes of a mapped file. Only a hint.
void forget_pages(const std::byte* first, std::size_t size_bytes) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<std::uintptr_t>(first) + page - 1) / page * page;
  const auto end = (reinterpret_cast<std::uintptr_t>(first) + size_bytes) / page * page;
  if (begin < end) (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace

ScoredImages::ScoredImages(const std::filesystem::path& path) : path_(path.string()) {
  MappedSafeTensors mapped = map_safetensors(path);
  TensorMap& tensors = mapped.tensors;
  file_ = mapped.file;
  if (tensors.empty()) {
    throw DataError(
        "{}: holds no tensor; expected 'map' and 'mask', or 'score' and 'label', or all", path_);
  }
  others_ = take_others(path_, tensors);
  const auto& [map, mask, score, label] = expected_tensors();
  map_ = take(path_, tensors, map);
  mask_ = take(path_, tensors, mask);
  const at::Tensor scores = take(path_, tensors, score), labels = take(path_, tensors, label);
  check_agreement(path_, tensors);

  num_images_ = tensors.begin()->second.size(0);
  if (const at::Tensor& pixels = map_.defined() ? map_ : mask_; pixels.defined()) {
    height_ = pixels.size(1);
    width_ = pixels.size(2);
    constexpr std::int64_t kLargest = std::numeric_limits<std::int32_t>::max();
    if (height_ > kLargest / width_) {
      throw DataError("{}: images of {} x {}, expected fewer than 2^31 pixels each", path_, height_,
                      width_);
    }
  }
  labels_ = read_labels(path_, labels);
  scores_ = read_scores(path_, scores);
}

std::vector<std::span<const float>> ScoredImages::maps() const {
  const auto size = static_cast<std::size_t>(height_ * width_);
  std::vector<std::span<const float>> maps;
  for (std::int64_t i = 0; i < num_images_; ++i) {
    maps.emplace_back(map_.const_data_ptr<float>() + static_cast<std::size_t>(i) * size, size);
  }
  return maps;
}

MaskRuns ScoredImages::labelled_mask(std::size_t image, int connectivity) const {
  const auto size = static_cast<std::size_t>(height_ * width_);
  const std::span<const std::uint8_t> bytes(
      static_cast<const std::uint8_t*>(mask_.const_data_ptr()) + image * size, size);
  if (has_third_value(bytes)) {
    const auto bad = std::ranges::find_if(bytes, [](std::uint8_t byte) { return byte > 1; });
    const std::int64_t pixel = bad - bytes.begin();
    throw DataError(
        "the mask of image {} is {} at row {}, column {}, expected 0 (normal) or 1 (anomalous); "
        "save {}",
        image, *bad, pixel / width_, pixel % width_, expected_tensors()[1].conversion);
  }
  return label_mask(bytes, static_cast<std::int32_t>(height_), static_cast<std::int32_t>(width_),
                    connectivity);
}

void ScoredImages::forget(std::size_t image) const {
  const auto size = static_cast<std::size_t>(height_ * width_);
  for (const at::Tensor& tensor : {map_, mask_}) {
    if (!tensor.defined()) continue;
    const std::size_t size_bytes = size * tensor.element_size();
    const auto* first = static_cast<const std::byte*>(tensor.const_data_ptr()) + image * size_bytes;
    // What was copied out of the file exists nowhere else.
    if (first < file_.data() || first >= file_.data() + file_.size()) continue;
    forget_pages(first, size_bytes);
  }
}

}  // namespace assay
