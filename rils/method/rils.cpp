#include "rils/method/rils.h"

#include "autograd/ops/norm.h"
#include "engine/ops/norm.h"
#include "engine/ops/rows.h"
#include "rils/method/patch_sentence.h"

namespace tessera::rils {
namespace {

/// f̂: the rows of the full pass at the hidden patches, in language space and at unit length. No gradient.
Tensor teacher_features(const Model& model, const TokenFeatures& encoded, const Masks& masks, const Gate& gate) {
  const autograd::TapeScope none(nullptr);
  const std::vector<int32_t> rows = hidden_rows(masks, gate.images, encoded.layout);
  const Tensor& all = encoded.values.value;
  const Tensor hidden = gather_rows(all, RowIndex(rows, all.size(0)), {.out_dtype = all.dtype()});
  return l2_normalize(model.project(Var(hidden)).value).y;
}

}  // namespace

ImagePass encode_images(const Model& model, const Tensor& images, const PassOptions& options) {
  ImagePass pass;
  pass.patches = model.vision().patch_tokens(images, options);
  if (!model.objective().contrastive) return pass;
  Var pooled;
  if (model.objective().reconstruction == Reconstruction::language) {
    pass.encoded = model.vision().encode(pass.patches, options);  // Z_f
    pooled = model.vision().pool(pass.encoded);
  } else {
    pooled = model.vision().features(pass.patches, options);
  }
  pass.embedding = autograd::l2_normalize(model.project(pooled));  // Î
  return pass;
}

Var encode_texts(const Model& model, const Tensor& tokens, const PassOptions& options) {
  return autograd::l2_normalize(model.encode_text(tokens, options));  // T̂
}

Alignment align(const Model& model, const LossConfig& loss, const Var& image, const Var& text) {
  Alignment a;
  a.scale = model.logit_scale();                                        // s
  a.contrastive = contrastive_loss(image, text, a.scale, loss.gather);  // L_clip
  return a;
}

Var reconstruct(const Model& model, const LossConfig& loss, const ImagePass& pass, const Masks& masks, const Gate& gate,
                const Var& sentences, const PassOptions& options) {
  if (gate.closed()) return {};
  const Var predicted = model.predict_hidden(pass.patches, masks, gate.images, options);  // Z_m, G0
  const Var student = autograd::l2_normalize(model.project(predicted));                   // ĝ
  const Tensor teacher = teacher_features(model, pass.encoded, masks, gate);              // f̂
  std::vector<double> weights;                                                            // w(b, k)
  for (const double w : gate.patch_weight) weights.insert(weights.end(), static_cast<size_t>(masks.hidden()), w);
  return patch_sentence_loss(student, teacher, sentences, weights, loss, options.precision.compute);  // L_rec
}

int64_t hidden_patches(const Model& model, const LossConfig& loss) {
  const int64_t patches = model.vision().grid().patches();
  return patches - kept_patches(patches, loss.mask_ratio);
}

}  // namespace tessera::rils
