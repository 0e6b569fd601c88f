#include "datasets/manifest.h"

#include "core/digest.h"
#include "core/error.h"
#include "datasets/listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace assay {

std::vector<std::string> Manifest::categories() const {
  std::vector<std::string> names;
  for (const Sample& sample : samples) names.push_back(sample.category);
  std::ranges::sort(names);
  const auto repeated = std::ranges::unique(names);
  names.erase(repeated.begin(), repeated.end());
  return names;
}

Manifest load_manifest(const std::string& dataset,
                       const std::filesystem::path& root,
                       const std::string& split,
                       const std::vector<std::string>& skip) {
  Listing listing = list_dataset(dataset, root, split);
  if (!listing.problems.empty()) {
    throw DataError("{}: {} ({} problem{} in all; 'assay data check {}' lists them)",
                    listing.manifest.root.string(), listing.problems.front(),
                    listing.problems.size(), listing.problems.size() == 1 ? "" : "s", dataset);
  }
  Manifest& manifest = listing.manifest;
  std::erase_if(manifest.samples, [&](const Sample& sample) {
    const bool left_out = std::ranges::count(skip, sample.path) > 0;
    if (left_out) manifest.skipped.push_back(sample.path);
    return left_out;
  });
  return std::move(manifest);
}

std::string manifest_digest(const Manifest& manifest) {
  // Paths are left out, but the order that they give is not: it decides which images are drawn.
  std::string text = "assay manifest 1\n";
  for (const Sample& sample : manifest.samples) {
    if (sample.sha256.empty() || sample.mask_sha256.empty() != sample.mask_path.empty()) {
      throw std::invalid_argument("manifest_digest: the manifest has not been digested");
    }
    text += fmt::format("{}\t{}\t{}\t{}\n", sample.category, sample.label, sample.sha256,
                        sample.mask_sha256);
  }
  return sha256(text);
}

}  // namespace assay
