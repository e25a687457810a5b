#include "rils/method/passes.h"

#include "autograd/ops/norm.h"
#include "engine/ops/copy.h"

namespace tessera::rils {

ImagePass image_pass(const Model& model, const Tensor& images, const PassOptions& options) {
  ImagePass pass;
  const int64_t samples = images.size(0);
  pass.tokens = model.vision().patch_tokens(images, options);
  if (!model.objective().contrastive) return pass;
  pass.encoded = model.vision().encode(pass.tokens, samples, options);
  pass.embedding = autograd::l2_normalize(model.project(model.vision().pool(pass.encoded, samples)));
  return pass;
}

Var text_pass(const Model& model, const Tensor& tokens, const PassOptions& options) {
  return autograd::l2_normalize(model.encode_text(tokens, options));
}

Tensor concatenate(const std::vector<Tensor>& parts) {
  int64_t rows = 0;
  for (const Tensor& p : parts) rows += p.size(0);
  Tensor all = Tensor::empty({rows, parts.front().size(1)}, parts.front().dtype());
  int64_t at = 0;
  for (const Tensor& p : parts) {
    copy_into(p, all.slice(0, at, p.size(0)));
    at += p.size(0);
  }
  return all;
}

}  // namespace tessera::rils
