#pragma once

#include "datasets/manifest.h"

#include <filesystem>
#include <string>
#include <vector>

/// Small data sets on disk.
namespace assay::fixtures {

/// `bottle` and `zipper` in the layout of MVTec AD, 6 x 4 pixels: one training image, two normal
/// and two anomalous test images (`broken`, `bent/er`) each. Every image differs from the others.
void make_mvtec_tree(const std::filesystem::path& root);

/// `candle` and `pcb1` in the layout of VisA, with CRLF line ends and masks of class indices.
void make_visa_tree(const std::filesystem::path& root);

/// ELPV's table with the classes of the real one (tests/data/elpv_classes.txt: 0..3 mono, a..d
/// poly, thirds of the probability), and files that stand for its images.
void make_elpv_tree(const std::filesystem::path& root, bool with_images = true);

/// meta.json as AnomalyCLIP's script for MVTec AD writes it, entries in reverse order.
/// `prefix` stands before each path.
void write_meta_json(const std::filesystem::path& path,
                     const std::vector<Manifest>& splits,
                     const std::string& prefix = "");

/// An image that no other number gives.
void write_numbered_image(const std::filesystem::path& path, int number);
/// A mask of `value` at (1, 0) and 0 elsewhere.
void write_mask(const std::filesystem::path& path, int value);

}  // namespace assay::fixtures
