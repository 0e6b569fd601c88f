#include "datasets/synth.h"

#include "core/error.h"
#include "core/file.h"
#include "core/nearest_name.h"
#include "datasets/image.h"
#include "datasets/synth_drawing.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>

namespace assay {
namespace {

namespace fs = std::filesystem;

/// Raised when the same options give other bytes.
constexpr int kVersion = 1;
constexpr const char* kMarker = "synth.json";

std::string describe(std::string_view name, const SynthOptions& o) {
  const nlohmann::json json = {{"name", name},
                               {"version", kVersion},
                               {"image_size", o.image_size},
                               {"train_normal", o.train_normal},
                               {"test_normal", o.test_normal},
                               {"test_anomalous", o.test_anomalous},
                               {"products", o.products},
                               {"seed", o.seed}};
  return json.dump(2) + "\n";
}

/// Draws the specimens of one category.
class Specimens {
 public:
  Specimens(std::string_view set, int category, const SynthOptions& options)
      : options_(options),
        category_(category),
        products_(options.seed, fmt::format("{} products of {}", set, name())),
        specimens_(options.seed, fmt::format("{} specimens of {}", set, name())) {}

  [[nodiscard]] std::string name() const {
    return std::string(drawing_categories()[static_cast<std::size_t>(category_)].name);
  }
  [[nodiscard]] Drawing normal() { return draw_normal(next(DefectKind::kScratch)); }
  [[nodiscard]] Drawing anomalous(DefectKind kind) { return draw_twins(next(kind)).defective; }

 private:
  DrawingRequest next(DefectKind kind) {
    DrawingRequest request;
    request.category = category_;
    request.defect = kind;
    const std::uint64_t product = count_ % static_cast<std::uint64_t>(options_.products);
    request.product_seed = products_.bits(product);
    request.specimen_seed = specimens_.bits(count_++);
    request.size = options_.image_size;
    return request;
  }

  const SynthOptions& options_;
  int category_;
  RandomStream products_, specimens_;
  std::uint64_t count_ = 0;
};

/// No fsync a file: the set counts only once its folder is renamed, after `sync_disk_of`.
void write_quickly(const fs::path& path, const Image& image) {
  fs::create_directories(path.parent_path());
  const std::vector<std::byte> bytes = encode_png(image);
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) {
    throw DataError("{}: {} bytes could not be written; is the disk full?", path.string(),
                    bytes.size());
  }
}

void sync_disk_of(const fs::path& folder) {
  const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY));
  if (descriptor.get() < 0 || ::syncfs(descriptor.get()) != 0) {
    throw DataError("{}: not synchronised: {}", folder.string(), std::strerror(errno));
  }
}

void write_picture(const fs::path& path, Drawing drawing) {
  write_quickly(path, Image{.height = drawing.size,
                            .width = drawing.size,
                            .channels = 3,
                            .pixels = std::move(drawing.pixels),
                            .notes = {}});
}

/// Pixels of the mask get `value`.
void write_mask(const fs::path& path, Drawing drawing, int value) {
  for (std::uint8_t& pixel : drawing.mask) {
    pixel = static_cast<std::uint8_t>(pixel != 0 ? value : 0);
  }
  write_quickly(path, Image{.height = drawing.size,
                            .width = drawing.size,
                            .channels = 1,
                            .pixels = std::move(drawing.mask),
                            .notes = {}});
}

std::string numbered(std::int64_t number) { return fmt::format("{:03}", number); }

void write_mvtec_layout(const fs::path& root, std::string_view set, const SynthOptions& options) {
  const std::vector<DefectKind> kinds = pool_defects(DrawingPool::kSynthA);
  for (const int category : pool_categories(DrawingPool::kSynthA)) {
    Specimens specimens(set, category, options);
    const fs::path folder = root / specimens.name();
    for (std::int64_t i = 0; i < options.train_normal; ++i) {
      write_picture(folder / "train/good" / (numbered(i) + ".png"), specimens.normal());
    }
    for (std::int64_t i = 0; i < options.test_normal; ++i) {
      write_picture(folder / "test/good" / (numbered(i) + ".png"), specimens.normal());
    }
    std::map<DefectKind, std::int64_t> counts;
    for (std::int64_t i = 0; i < options.test_anomalous; ++i) {
      const DefectKind kind = kinds[static_cast<std::size_t>(i) % kinds.size()];
      const Drawing drawing = specimens.anomalous(kind);
      const std::string number = numbered(counts[kind]++), defect(defect_name(kind));
      write_picture(folder / "test" / defect / (number + ".png"), drawing);
      write_mask(folder / "ground_truth" / defect / (number + "_mask.png"), drawing, 255);
    }
  }
}

void write_visa_layout(const fs::path& root, std::string_view set, const SynthOptions& options) {
  const std::vector<DefectKind> kinds = pool_defects(DrawingPool::kSynthB);
  std::string table = "object,split,label,image,mask\r\n";
  for (const int category : pool_categories(DrawingPool::kSynthB)) {
    Specimens specimens(set, category, options);
    const std::string name = specimens.name();
    std::string annotations = "image,label,mask\r\n";
    for (std::int64_t i = 0; i < options.train_normal + options.test_normal; ++i) {
      const std::string image = fmt::format("{}/Data/Images/Normal/{}.png", name, numbered(i));
      write_picture(root / image, specimens.normal());
      table += fmt::format("{},{},normal,{},\r\n", name,
                           i < options.train_normal ? "train" : "test", image);
      annotations += fmt::format("{},normal,\r\n", image);
    }
    for (std::int64_t i = 0; i < options.test_anomalous; ++i) {
      const std::size_t index = static_cast<std::size_t>(i) % kinds.size();
      const Drawing drawing = specimens.anomalous(kinds[index]);
      const std::string image = fmt::format("{}/Data/Images/Anomaly/{}.png", name, numbered(i));
      const std::string mask = fmt::format("{}/Data/Masks/Anomaly/{}.png", name, numbered(i));
      write_picture(root / image, drawing);
      write_mask(root / mask, drawing, static_cast<int>(index) + 1);
      table += fmt::format("{},test,anomaly,{},{}\r\n", name, image, mask);
      annotations += fmt::format("{},{},{}\r\n", image, defect_name(kinds[index]), mask);
    }
    write_file_atomically(root / name / "image_anno.csv", annotations);
  }
  write_file_atomically(root / "split_csv/1cls.csv", table);
}

/// Whether `root` holds this very set. Throws DataError where something else is in the way.
bool is_there(const fs::path& root, const std::string& description) {
  if (!fs::exists(root) || (fs::is_directory(root) && fs::is_empty(root))) return false;
  if (!fs::is_directory(root)) {
    throw DataError("{}: a file is in the way of a data set's folder; name another", root.string());
  }
  if (!fs::exists(root / kMarker)) {
    throw DataError(
        "{}: the folder is not empty and holds no synthetic data set; name another, or empty it",
        root.string());
  }
  if (read_file(root / kMarker) != description) {
    throw DataError(
        "{}: holds another synthetic data set (see {}); name another folder, or remove this one",
        root.string(), kMarker);
  }
  return true;
}

}  // namespace

const std::vector<std::string>& synth_names() {
  static const std::vector<std::string> names = {"synth-a", "synth-b"};
  return names;
}

SynthOptions default_synth_options(std::string_view name) {
  if (name == "synth-a") return {.test_normal = 40, .test_anomalous = 60, .products = 50};
  if (name == "synth-b") return {.train_normal = 20, .test_normal = 40, .test_anomalous = 40};
  const std::string nearest = nearest_name(std::string(name), synth_names());
  throw ConfigError("'{}' is not a synthetic data set; known: synth-a, synth-b{}", name,
                    nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
}

bool write_synth(std::string_view name, const fs::path& root, const SynthOptions& options) {
  (void)default_synth_options(name);  // Throws where the name is unknown.
  const std::string description = describe(name, options);
  if (is_there(root, description)) return false;
  fs::path partial = root;
  partial += ".partial";
  fs::remove_all(partial);  // What a killed run left.
  if (name == "synth-a") {
    write_mvtec_layout(partial, name, options);
  } else {
    write_visa_layout(partial, name, options);
  }
  write_file_atomically(partial / kMarker, description);
  sync_disk_of(partial);
  fs::remove(root);  // Empty, or not there.
  fs::rename(partial, root);
  return true;
}

}  // namespace assay
