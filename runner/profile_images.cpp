#include "runner/profile_images.h"

#include "datasets/image.h"
#include "runner/feature_batches.h"

#include <ATen/ATen.h>

namespace assay {

ProfileImages read_profile_images(const FeatureFiles& files,
                                  const std::vector<MaskRuns>* masks,
                                  std::int64_t count,
                                  const JobContext& context) {
  const at::Device device = context.loaded.device.device;
  const std::int64_t size = files.encoder.features.image_size;
  const ClassWords words = class_words(context.run.hints.at("switches"));
  ProfileImages images{.pixels = {},
                       .truth = {},
                       .mask_runs = {},
                       .decode = Stopwatch(at::kCPU),
                       .preprocess = Stopwatch(at::kCPU),
                       .copy = Stopwatch(device)};
  std::vector<at::Tensor> pixels;
  const at::Tensor labels = at::zeros({count}, at::kLong);
  at::Tensor bytes;
  if (masks != nullptr) bytes = at::zeros({count, size, size}, at::kByte);
  for (std::int64_t i = 0; i < count; ++i) {
    const Sample& sample = files.manifest.samples.at(static_cast<std::size_t>(i));
    Image image;
    images.decode.time([&] { image = read_image(files.manifest.root / sample.path); });
    at::Tensor one = at::empty({1, 3, size, size});
    images.preprocess.time(
        [&] { preprocess(image, static_cast<std::int32_t>(size), one.data_ptr<float>()); });
    images.copy.time([&] { one = one.to(device); });
    pixels.push_back(one);
    labels[i] = sample.label;
    images.truth.category_words.push_back(
        class_word(files.manifest.dataset, sample.category, words));
    if (masks == nullptr) continue;
    images.mask_runs.push_back(masks->at(static_cast<std::size_t>(i)));
    fill_mask(images.mask_runs.back(),
              {bytes[i].data_ptr<std::uint8_t>(), static_cast<std::size_t>(size * size)});
  }
  images.pixels = at::cat(pixels);
  images.truth.labels = labels.to(device);
  if (bytes.defined()) images.truth.masks = bytes.to(device);
  images.truth.has_pixel_term =
      at::full({count}, masks != nullptr, images.truth.labels.options().dtype(at::kBool));
  return images;
}

Batch ProfileImages::encode(const Clip& clip,
                            const FeatureSpec& spec,
                            std::span<const std::int64_t> chosen,
                            bool literal) const {
  const at::NoGradGuard no_grad;
  const at::Tensor rows =
      at::tensor(at::IntArrayRef(chosen.data(), chosen.size()), at::kLong).to(pixels.device());
  EncodedImages encoded = encode_pixels(clip, pixels.index_select(0, rows), spec, literal);
  if (!literal) encoded.patch = encoded.patch.to(at::kHalf).to(at::kFloat);
  Batch batch = truth.select(chosen);
  batch.patch_features = encoded.patch;
  batch.patch_norms = encoded.norm;
  batch.global = encoded.global;
  return batch;
}

}  // namespace assay
