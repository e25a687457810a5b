#include "rils/train/step.h"

#include <algorithm>
#include <numeric>

#include "autograd/ops/loss.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/pointwise.h"
#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "engine/ops/matmul.h"
#include "engine/ops/norm.h"
#include "engine/ops/rows.h"
#include "rils/loss/contrastive.h"
#include "rils/loss/reconstruction.h"

namespace tessera::rils {
namespace {

using autograd::Root;
using autograd::Tape;
using autograd::TapeScope;

Gather gather_of(const LossConfig& loss) {
  return loss.gather == "with-gradient" ? Gather::with_gradient : Gather::constant;
}

/// The images of one micro-batch that pass the gate, by their place in it, with the weight of each of their patches.
struct Selection {
  std::vector<int64_t> samples;
  std::vector<double> weights;
};

Selection select(const ReconstructionWeights& all, int64_t first, int64_t count) {
  Selection chosen;
  for (size_t i = 0; i < all.samples.size(); ++i) {
    const int64_t sample = all.samples[i] - first;
    if (sample < 0 || sample >= count) continue;
    chosen.samples.push_back(sample);
    chosen.weights.push_back(all.per_sample[i]);
  }
  return chosen;
}

/// The image side of one micro-batch, as far as the contrastive loss needs it.
struct ImagePass {
  Var tokens;     // patch tokens, shared with the masked pass
  Var encoded;    // [B·(P+1), D]
  Var embedding;  // [B, E], normalised
};

ImagePass image_pass(const Model& model, const Tensor& images, const PassOptions& options) {
  ImagePass pass;
  const int64_t samples = images.size(0);
  pass.tokens = model.vision().patch_tokens(images, options);
  pass.encoded = model.vision().encode(pass.tokens, samples, options);
  pass.embedding = autograd::l2_normalize(model.project(model.vision().pool(pass.encoded, samples)));
  return pass;
}

Var text_pass(const Model& model, const Tensor& tokens, const PassOptions& options) {
  return autograd::l2_normalize(model.encode_text(tokens, options));
}

/// The teacher's answer: normalised language-space features of the hidden patches, no gradient.
Tensor teacher_features(const Model& model, const ImagePass& pass, const Masks& masks, const Selection& chosen) {
  const TapeScope none(nullptr);
  const std::vector<int32_t> rows = hidden_rows(masks, chosen.samples, false);
  const Tensor features =
      gather_rows(pass.encoded.value, RowIndex(rows, pass.encoded.value.size(0)), {{}, {}, {}, pass.encoded.dtype()});
  return l2_normalize(model.project(Var(features)).value).y;
}

/// The weighted reconstruction loss of the chosen images; absent when there are none.
Var reconstruct(const Model& model, const LossConfig& loss, const ImagePass& pass, const Tensor& noise,
                const Var& sentences, const Selection& chosen, const PassOptions& options) {
  if (chosen.samples.empty()) return {};
  const Masks masks(noise, loss.mask_ratio);
  const Var visible = model.vision().encode_visible(pass.tokens, masks, chosen.samples, options);
  const Var predicted = (*model.decoder())(visible, masks, chosen.samples, options);
  const Var student = autograd::l2_normalize(model.project(predicted));
  const Tensor teacher = teacher_features(model, pass, masks, chosen);

  std::vector<double> weights;
  for (const double w : chosen.weights) weights.insert(weights.end(), static_cast<size_t>(masks.hidden()), w);
  const Tensor weight = Tensor::from(weights, {static_cast<int64_t>(weights.size())});
  // Operands of the patch-sentence product are rounded once to the compute type; its sums stay wide.
  const DType compute = options.precision.compute;
  return autograd::patch_sentence(
      autograd::cast(student, compute), teacher.dtype() == compute ? teacher : cast(teacher, compute),
      autograd::cast(gather_of(loss) == Gather::constant ? sentences.detach() : sentences, compute),
      compute == DType::f64 ? weight : cast(weight, DType::f32), {loss.student_temperature, loss.teacher_temperature});
}

/// What the whole batch decides before any reconstruction: the contrastive part and the weights of the gate.
struct Decision {
  Var clip_loss;
  ReconstructionWeights weights;
  StepResult result;
};

Decision decide(const Model& model, const LossConfig& loss, const Var& image, const Var& text, int64_t hidden,
                const StepOptions& options) {
  Decision d;
  const Var scale = model.logit_scale();
  const Contrastive contrastive = contrastive_loss(image, text, scale, gather_of(loss));
  d.clip_loss = contrastive.loss;
  if (model.decoder() != nullptr) {
    d.weights = reconstruction_weights(contrastive.retrieved, hidden, loss, options.reconstruction_factor);
  }
  const auto passed = std::accumulate(contrastive.retrieved.begin(), contrastive.retrieved.end(), 0.0);
  d.result.clip_loss = contrastive.loss.value.item();
  d.result.clip_accuracy = passed / static_cast<double>(contrastive.retrieved.size());
  d.result.logit_scale = scale.value.item();
  return d;
}

int64_t hidden_patches(const Model& model, const LossConfig& loss) {
  const int64_t patches = model.vision().patches();
  return patches - kept_patches(patches, loss.mask_ratio);
}

void finish(StepResult& result) { result.loss = result.clip_loss + result.recon_loss; }

/// One batch on one tape.
StepResult step_undivided(Model& model, const LossConfig& loss, const MicroBatch& batch, const StepOptions& options) {
  Tape tape;
  Var clip_loss, recon_loss;
  StepResult result;
  {
    const TapeScope scope(tape);
    const Var text = text_pass(model, batch.tokens, options.pass);
    const ImagePass pass = image_pass(model, batch.images, options.pass);
    const Decision d = decide(model, loss, pass.embedding, text, hidden_patches(model, loss), options);
    result = d.result;
    clip_loss = d.clip_loss;
    recon_loss =
        reconstruct(model, loss, pass, batch.noise, text, select(d.weights, 0, batch.images.size(0)), options.pass);
  }
  if (recon_loss) result.recon_loss = recon_loss.value.item();
  const Root roots[] = {{clip_loss, {}}, {recon_loss, {}}};
  tape.backward(std::span(roots, recon_loss ? 2 : 1));
  return result;
}

/// Rows of all micro-batches in one tensor.
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

struct Embeddings {
  Tensor image, text;  // [N, E], normalised
};

Embeddings embed_all(const Model& model, std::span<const MicroBatch> batches, const PassOptions& options) {
  const TapeScope none(nullptr);
  std::vector<Tensor> image, text;
  for (const MicroBatch& b : batches) {
    text.push_back(text_pass(model, b.tokens, options).value);
    image.push_back(image_pass(model, b.images, options).embedding.value);
  }
  return {concatenate(image), concatenate(text)};
}

/// Several micro-batches: losses on cached embeddings first, then each part again with the gradients of its rows.
StepResult step_divided(Model& model, const LossConfig& loss, std::span<const MicroBatch> batches,
                        const StepOptions& options) {
  const Embeddings all = embed_all(model, batches, options.pass);
  Decision d;
  Tensor d_image, d_text;
  {
    Tape tape;
    Var image, text;
    {
      const TapeScope scope(tape);
      image = tape.input(all.image);
      text = tape.input(all.text);
      d = decide(model, loss, image, text, hidden_patches(model, loss), options);
    }
    tape.backward(d.clip_loss);
    d_image = tape.take(image.slot);
    d_text = tape.take(text.slot);
  }
  StepResult result = d.result;
  int64_t first = 0;
  for (const MicroBatch& b : batches) {
    const int64_t count = b.images.size(0);
    Tape tape;
    std::vector<Root> roots;
    Var sentences;
    {
      const TapeScope scope(tape);
      sentences = tape.input(all.text);
      const ImagePass pass = image_pass(model, b.images, options.pass);
      roots.push_back({pass.embedding, d_image.slice(0, first, count)});
      const Var recon =
          reconstruct(model, loss, pass, b.noise, sentences, select(d.weights, first, count), options.pass);
      if (recon) {
        result.recon_loss += recon.value.item();
        roots.push_back({recon, {}});
      }
    }
    tape.backward(roots);
    if (const Tensor more = tape.take(sentences.slot)) copy_into(more, d_text, GradMode::accumulate);
    first += count;
  }
  first = 0;
  for (const MicroBatch& b : batches) {
    Tape tape;
    Var text;
    {
      const TapeScope scope(tape);
      text = text_pass(model, b.tokens, options.pass);
    }
    tape.backward(text, d_text.slice(0, first, b.tokens.size(0)));
    first += b.tokens.size(0);
  }
  return result;
}

}  // namespace

StepResult compute_gradients(Model& model, const LossConfig& loss, std::span<const MicroBatch> batches,
                             const StepOptions& options) {
  if (batches.empty()) throw ShapeError("step: no batch");
  model.store().clear_grads();
  StepResult result = batches.size() == 1 ? step_undivided(model, loss, batches.front(), options)
                                          : step_divided(model, loss, batches, options);
  model.store().complete_grads();
  finish(result);
  return result;
}

StepResult compute_losses(Model& model, const LossConfig& loss, std::span<const MicroBatch> batches,
                          const StepOptions& options) {
  const TapeScope none(nullptr);
  std::vector<Tensor> image, text;
  std::vector<ImagePass> passes;
  for (const MicroBatch& b : batches) {
    text.push_back(text_pass(model, b.tokens, options.pass).value);
    passes.push_back(image_pass(model, b.images, options.pass));
    image.push_back(passes.back().embedding.value);
  }
  const Var sentences(concatenate(text));
  const Decision d = decide(model, loss, concatenate(image), sentences, hidden_patches(model, loss), options);
  StepResult result = d.result;
  int64_t first = 0;
  for (size_t i = 0; i < batches.size(); ++i) {
    const int64_t count = batches[i].images.size(0);
    const Var recon =
        reconstruct(model, loss, passes[i], batches[i].noise, sentences, select(d.weights, first, count), options.pass);
    if (recon) result.recon_loss += recon.value.item();
    first += count;
  }
  finish(result);
  return result;
}

}  // namespace tessera::rils
