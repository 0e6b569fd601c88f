#include "tests/support/golden.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <numeric>

namespace assay {
namespace {

// z of element i of a stream whose name hashes to `h` (SplitMix64 on FNV-1a).
std::uint64_t mix(std::uint64_t h, std::uint64_t i) {
  std::uint64_t z = h + (i + 1) * 0x9E3779B97F4A7C15ULL;
  z ^= z >> 30;
  z *= 0xBF58476D1CE4E5B9ULL;
  z ^= z >> 27;
  z *= 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

std::uint64_t hash(const std::string& text) {
  std::uint64_t h = 0xcbf29ce484222325ULL;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return h;
}

double uniform(std::uint64_t z) { return static_cast<double>(z >> 40) * 0x1p-23 - 1; }

std::uint64_t count(at::IntArrayRef shape) {
  return static_cast<std::uint64_t>(
      std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>()));
}

// offset + factor * u, formed in double and rounded to float32.
at::Tensor fill(const std::string& full_name, at::IntArrayRef shape, double offset, double factor) {
  at::Tensor out = at::empty(shape, at::kFloat);
  const std::uint64_t h = hash(full_name), n = count(shape);
  float* values = out.mutable_data_ptr<float>();
  for (std::uint64_t i = 0; i < n; ++i) {
    values[i] = static_cast<float>(offset + factor * uniform(mix(h, i)));
  }
  return out;
}

at::Tensor weight(const std::string& case_name, const std::string& name, at::IntArrayRef shape) {
  const std::string full = case_name + "/" + name;
  if (name == "logit_scale") return at::full({}, std::log(1 / 0.07), at::kFloat);
  if (name.find("ln_") != std::string::npos) {
    return name.ends_with("weight") ? fill(full, shape, 1, 0.1) : fill(full, shape, 0, 0.02);
  }
  if (name.ends_with("bias")) return fill(full, shape, 0, 0.02);
  if (name.ends_with("embedding") || name == "token_embedding.weight") {
    return fill(full, shape, 0, 0.5);
  }
  const bool projection = name == "visual.proj" || name == "text_projection";
  const double fan = projection ? static_cast<double>(shape[0])
                                : static_cast<double>(count(shape)) / static_cast<double>(shape[0]);
  return fill(full, shape, 0, std::sqrt(3 / fan));
}

std::map<std::string, std::filesystem::path> files_by_name() {
  std::vector<std::filesystem::path> folders = {std::filesystem::path(ASSAY_TEST_DATA) / "golden"};
  if (const char* folder = std::getenv("ASSAY_GOLDEN_DIR")) folders.emplace_back(folder);
  std::map<std::string, std::filesystem::path> found;
  for (const auto& folder : folders) {
    if (!std::filesystem::is_directory(folder)) continue;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      found[entry.path().filename().string()] = entry.path();
    }
  }
  return found;
}

// What golden files are compared in: each has a tolerance of its own.
enum Part { kForward, kGradients, kAfterSteps, kNumParts };

Part part_of(const std::string& tensor) {
  if (tensor.starts_with("grad.")) return kGradients;
  return tensor.starts_with("after.") ? kAfterSteps : kForward;
}

// The largest difference of each file and part, printed when the program ends: rows of the table in
// tests/data/golden/README.md.
class Report {
 public:
  ~Report() {
    for (const auto& [file, parts] : files_) {
      std::string row = "| " + file + " |";
      for (const Largest& part : parts) {
        row += part.tensor.empty() ? std::string(" - |")
                                   : fmt::format(" {:.1e} `{}` |", part.difference, part.tensor);
      }
      std::printf("%s\n", row.c_str());
    }
  }
  void add(const GoldenFile& file, const std::string& tensor, double difference) {
    Largest& largest = files_[file.path.stem().string()][part_of(tensor)];
    if (largest.tensor.empty() || difference > largest.difference) largest = {difference, tensor};
  }

 private:
  struct Largest {
    double difference = 0;
    std::string tensor;
  };
  std::map<std::string, std::array<Largest, kNumParts>> files_;
};

}  // namespace

const at::Tensor& GoldenFile::tensor(const std::string& name) const {
  const auto found = content.tensors.find(name);
  if (found == content.tensors.end()) {
    throw std::out_of_range(path.string() + ": no tensor '" + name + "'");
  }
  return found->second;
}

std::filesystem::path golden_path(const std::string& name) {
  const auto files = files_by_name();
  const auto found = files.find(name);
  return found == files.end() ? std::filesystem::path() : found->second;
}

std::vector<std::filesystem::path> golden_files(const std::string& kind) {
  static const auto kinds = [] {
    std::vector<std::pair<std::filesystem::path, std::string>> all;
    for (const auto& [name, path] : files_by_name()) {
      if (path.extension() == ".safetensors") all.emplace_back(path, load_golden(path).kind);
    }
    return all;
  }();
  std::vector<std::filesystem::path> found;
  for (const auto& [path, its_kind] : kinds) {
    if (kind.empty() || its_kind == kind) found.push_back(path);
  }
  return found;
}

GoldenFile load_golden(const std::filesystem::path& path) {
  GoldenFile file;
  file.path = path;
  file.content = read_safetensors(path);
  const auto text = [&](const char* key) {
    const auto found = file.content.metadata.find(key);
    return found == file.content.metadata.end() ? std::string() : found->second;
  };
  const auto json = [&](const char* key) {
    const std::string value = text(key);
    return value.empty() ? nlohmann::json() : nlohmann::json::parse(value);
  };
  file.kind = text("kind");
  file.case_name = text("case");
  file.config = json("config");
  file.switches = json("switches");
  return file;
}

std::string golden_name(const ::testing::TestParamInfo<std::filesystem::path>& parameter) {
  std::string name = parameter.param.stem().string();
  std::ranges::replace_if(
      name, [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

at::Tensor golden_uniform(const std::string& case_name,
                          const std::string& name,
                          at::IntArrayRef shape) {
  return fill(case_name + "/" + name, shape, 0, 1).to(at::kDouble);
}

at::Tensor golden_bits(const std::string& case_name,
                       const std::string& name,
                       at::IntArrayRef shape,
                       int shift) {
  at::Tensor out = at::empty(shape, at::kLong);
  const std::uint64_t h = hash(case_name + "/" + name), n = count(shape);
  auto* values = out.mutable_data_ptr<std::int64_t>();
  for (std::uint64_t i = 0; i < n; ++i) {
    values[i] = static_cast<std::int64_t>(mix(h, i) >> shift);
  }
  return out;
}

TensorMap golden_clip(const std::string& case_name, const ClipSizes& sizes) {
  at::set_num_threads(1);  // The tensors are small, and tests share the cores.
  TensorMap weights;
  for (const auto& [name, shape] : clip_tensors(sizes)) {
    weights.emplace(name, weight(case_name, name, shape));
  }
  return weights;
}

ClipSizes golden_sizes(const GoldenFile& file) {
  ClipSizes sizes{};
  sizes.vision_width = file.size("vision_width");
  sizes.vision_layers = file.size("vision_layers");
  sizes.patch = file.size("patch");
  sizes.native_grid = file.size("native_grid");
  sizes.text_width = file.size("text_width");
  sizes.text_layers = file.size("text_layers");
  sizes.context = 77;
  sizes.vocabulary = 49408;
  sizes.joint = file.size("joint");
  return sizes;
}

at::Tensor golden_prompt(const std::string& case_name,
                         const std::string& parameter,
                         at::IntArrayRef shape,
                         double factor) {
  return golden_uniform(case_name, "prompt." + parameter, shape).to(at::kFloat) *
         at::full({}, factor, at::kFloat);
}

at::Tensor golden_image_bytes(const std::string& case_name, std::int64_t batch, std::int64_t size) {
  const at::Tensor b = at::arange(batch).view({-1, 1, 1, 1}), c = at::arange(3).view({-1, 1, 1}),
                   y = at::arange(size).view({-1, 1}), x = at::arange(size);
  const at::Tensor pattern = (x * (3 + b) + y * (5 + c) + 40 * b).remainder(192);
  return (pattern + golden_bits(case_name, "image", {batch, 3, size, size}, 58)).to(at::kByte);
}

at::Tensor normalise_images(const at::Tensor& bytes) {
  const at::Tensor mean = at::tensor({0.48145466F, 0.4578275F, 0.40821073F}).view({3, 1, 1});
  const at::Tensor deviation = at::tensor({0.26862954F, 0.26130258F, 0.27577711F}).view({3, 1, 1});
  return (bytes.to(at::kFloat) / 255 - mean) / deviation;
}

double largest_difference(const at::Tensor& actual, const at::Tensor& expected) {
  if (actual.sizes() != expected.sizes()) return std::numeric_limits<double>::infinity();
  if (expected.numel() == 0) return 0;
  const at::Tensor difference = (actual.to(at::kDouble) - expected.to(at::kDouble)).abs().max();
  const double scale = expected.to(at::kDouble).abs().max().item<double>();
  const double largest = difference.item<double>();
  if (!std::isfinite(largest)) return std::numeric_limits<double>::infinity();
  return scale > 0 ? largest / scale : largest;
}

double fraction_off(const at::Tensor& actual, const at::Tensor& expected, double tolerance) {
  if (actual.sizes() != expected.sizes()) return 1;
  const at::Tensor wanted = expected.to(at::kDouble);
  const at::Tensor bound = tolerance * wanted.abs().max();
  const at::Tensor near = (actual.to(at::kDouble) - wanted).abs().le(bound);  // NaN is far.
  return 1 - near.to(at::kDouble).mean().item<double>();
}

void expect_golden(const GoldenFile& file,
                   const std::string& name,
                   const at::Tensor& actual,
                   double tolerance) {
  static Report report;
  const double difference = largest_difference(actual.detach(), file.tensor(name));
  report.add(file, name, difference);
  EXPECT_LE(difference, tolerance) << file.path.string() << ": " << name << " of shape "
                                   << file.tensor(name).sizes() << ", found " << actual.sizes();
}

}  // namespace assay
