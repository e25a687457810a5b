#include "rils/method/masked_terms.h"

#include <numeric>

#include "autograd/ops/norm.h"
#include "autograd/ops/patch_sentence.h"
#include "autograd/ops/pointwise.h"
#include "engine/ops/copy.h"
#include "engine/ops/norm.h"
#include "engine/ops/rows.h"
#include "rils/method/contrastive.h"
#include "rils/method/pixels.h"

namespace tessera::rils {
namespace {

/// The images of one micro-batch that pass the gate, by their place in it, with the weight of each of their patches.
struct Selection {
  std::vector<int64_t> samples;
  std::vector<double> weights;
};

Selection select(const ReconstructionWeights& all, const Share& share) {
  Selection chosen;
  for (size_t i = 0; i < all.samples.size(); ++i) {
    const int64_t sample = all.samples[i] - share.first;
    if (sample < 0 || sample >= share.batch.images.size(0)) continue;
    chosen.samples.push_back(sample);
    chosen.weights.push_back(all.per_sample[i]);
  }
  return chosen;
}

/// What the decoder makes of the visible patches of some images.
Var predict(const Model& model, const ImagePass& pass, const Masks& masks, std::span<const int64_t> samples,
            const PassOptions& options) {
  const Var visible = model.vision().encode_visible(pass.tokens, masks, samples, options);
  return (*model.decoder())(visible, masks, samples, options);
}

/// The teacher's answer: normalised language-space features of the hidden patches, no gradient.
Tensor teacher_features(const Model& model, const ImagePass& pass, const Masks& masks, const Selection& chosen) {
  const autograd::TapeScope none(nullptr);
  const std::vector<int32_t> rows = hidden_rows(masks, chosen.samples, false);
  const Tensor features =
      gather_rows(pass.encoded.value, RowIndex(rows, pass.encoded.value.size(0)), {.out_dtype = pass.encoded.dtype()});
  return l2_normalize(model.project(Var(features)).value).y;
}

}  // namespace

int64_t hidden_patches(const Model& model, const LossConfig& loss) {
  const int64_t patches = model.vision().patches();
  return patches - kept_patches(patches, loss.mask_ratio);
}

Var reconstruct_language(const Model& model, const LossConfig& loss, const ImagePass& pass, const Share& share,
                         const Var& sentences, const ReconstructionWeights& weights, const PassOptions& options) {
  const Selection chosen = select(weights, share);
  if (chosen.samples.empty()) return {};
  const Masks masks(share.batch.noise, loss.mask_ratio);
  const Var predicted = predict(model, pass, masks, chosen.samples, options);
  const Var student = autograd::l2_normalize(model.project(predicted));
  const Tensor teacher = teacher_features(model, pass, masks, chosen);

  std::vector<double> rows;
  for (const double w : chosen.weights) rows.insert(rows.end(), static_cast<size_t>(masks.hidden()), w);
  const Tensor weight = Tensor::from(rows, {static_cast<int64_t>(rows.size())});
  // Operands of the patch-sentence product are rounded once to the compute type; its sums stay wide.
  const DType compute = options.precision.compute;
  return autograd::patch_sentence(
      autograd::cast(student, compute), teacher.dtype() == compute ? teacher : cast(teacher, compute),
      autograd::cast(gather_of(loss) == Gather::constant ? sentences.detach() : sentences, compute),
      compute == DType::f64 ? weight : cast(weight, DType::f32), {loss.student_temperature, loss.teacher_temperature});
}

Var reconstruct_pixels(const Model& model, const LossConfig& loss, const ImagePass& pass, const Share& share,
                       const PassOptions& options) {
  if (loss.mae_weight == 0) return {};
  const Masks masks(share.batch.noise, loss.mask_ratio);
  std::vector<int64_t> all(static_cast<size_t>(share.batch.images.size(0)));
  std::iota(all.begin(), all.end(), int64_t{0});
  const Var predicted = predict(model, pass, masks, all, options);
  const Tensor& images = share.batch.images;
  const Tensor target = pixel_targets(images.dtype() == predicted.dtype() ? images : cast(images, predicted.dtype()),
                                      model.config().vision.patch_size, masks, all);
  return pixel_loss(predicted, target, loss.mae_weight / static_cast<double>(share.total * masks.hidden()));
}

}  // namespace tessera::rils
