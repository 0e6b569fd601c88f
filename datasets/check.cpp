#include "datasets/check.h"

#include "core/error.h"
#include "core/threads.h"
#include "datasets/decode.h"
#include "datasets/image.h"
#include "datasets/listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace assay {
namespace {

struct SampleReport {
  std::vector<std::string> problems, notes;
};

void check_mask(const Sample& sample,
                const Image& image,
                const std::filesystem::path& root,
                SampleReport& report) {
  const Image mask = read_image(root / sample.mask_path);
  if (mask.width != image.width || mask.height != image.height) {
    report.problems.push_back(fmt::format("{}: a mask of {} x {} pixels, its image has {} x {}",
                                          sample.mask_path, mask.width, mask.height, image.width,
                                          image.height));
  }
  if (std::ranges::find(mask.notes, kNote16Bit) != mask.notes.end()) {
    report.problems.push_back(fmt::format(
        "{}: a 16-bit mask, whose values below 256 would count as normal; save it with 8 bits",
        sample.mask_path));
  }
  const Image grey = to_grey(mask);
  if (std::ranges::all_of(grey.pixels, [](std::uint8_t pixel) { return pixel == 0; })) {
    report.notes.push_back(
        fmt::format("{}: the mask of an anomalous image is empty", sample.mask_path));
  }
}

SampleReport check_sample(const Sample& sample, const std::filesystem::path& root) {
  SampleReport report;
  try {
    const Image image = read_image(root / sample.path);
    for (const std::string& note : image.notes) {
      report.notes.push_back(fmt::format("{}: {}", sample.path, note));
    }
    if (!sample.mask_path.empty()) check_mask(sample, image, root, report);
  } catch (const DataError& error) {
    report.problems.emplace_back(error.what());
  }
  return report;
}

}  // namespace

CheckReport check_dataset(const std::string& dataset, const std::filesystem::path& root) {
  Listing listing = list_dataset(dataset, root, "all");
  CheckReport report{.problems = std::move(listing.problems), .notes = std::move(listing.notes)};

  const std::vector<Sample>& samples = listing.manifest.samples;
  std::vector<SampleReport> reports(samples.size());
  const int num_threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  for_each_item(num_threads, samples.size(), [&](std::size_t i, int) {
    reports[i] = check_sample(samples[i], listing.manifest.root);
  });
  for (const SampleReport& sample : reports) {
    report.problems.insert(report.problems.end(), sample.problems.begin(), sample.problems.end());
    report.notes.insert(report.notes.end(), sample.notes.begin(), sample.notes.end());
  }
  report.num_images = samples.size();
  report.num_masks = static_cast<std::size_t>(std::ranges::count_if(
      samples, [](const Sample& sample) { return !sample.mask_path.empty(); }));
  return report;
}

}  // namespace assay
