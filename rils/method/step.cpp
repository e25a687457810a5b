#include "rils/method/step.h"

#include <numeric>

#include "autograd/ops/pointwise.h"
#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "rils/method/contrastive.h"
#include "rils/method/masked_terms.h"
#include "rils/method/passes.h"
#include "rils/method/simclr.h"

namespace tessera::rils {
namespace {

using autograd::Root;
using autograd::Tape;
using autograd::TapeScope;
using KeepMoments = ImageMlp::KeepMoments;

int64_t rows_of(const MicroBatch& b) { return b.images ? b.images.size(0) : b.view1.size(0); }

/// What the whole batch decides on embeddings and features of all its rows: the terms over all of them, and the weights
/// of the gate.
struct Decision {
  std::vector<Root> roots;
  ReconstructionWeights weights;
  StepResult result;
};

void add_contrast(const Model& model, const LossConfig& loss, const Embeddings& all, const StepOptions& options,
                  Decision& d) {
  const Var scale = model.logit_scale();
  const Contrastive contrastive = contrastive_loss(all.image, all.text, scale, loss.gather);
  d.roots.push_back({contrastive.loss, {}});
  if (model.objective().reconstruction == Reconstruction::language) {
    d.weights =
        reconstruction_weights(contrastive.retrieved, hidden_patches(model, loss), loss, options.reconstruction_factor);
  }
  const auto passed = std::accumulate(contrastive.retrieved.begin(), contrastive.retrieved.end(), 0.0);
  d.result.clip_loss = contrastive.loss.value.item();
  d.result.clip_accuracy = passed / static_cast<double>(contrastive.retrieved.size());
  d.result.logit_scale = scale.value.item();
}

void add_views(const Model& model, const LossConfig& loss, const Embeddings& all, const StepOptions& options,
               KeepMoments keep, Decision& d) {
  const ImageMlp& head = *model.image_mlp();
  const Var first = head(all.view1, options.pass.precision, keep);
  const Var second = head(all.view2, options.pass.precision, keep);
  const ViewContrast contrast = view_contrast(first, second, loss.ssl_temperature);
  const Var weighted = autograd::scale(contrast.loss, loss.ssl_scale);
  d.roots.push_back({weighted, {}});
  d.result.ssl_loss = weighted.value.item();
  d.result.ssl_accuracy = contrast.accuracy;
}

Decision decide(const Model& model, const LossConfig& loss, const Embeddings& all, const StepOptions& options,
                KeepMoments keep) {
  Decision d;
  if (all.image) add_contrast(model, loss, all, options, d);
  if (all.view1) add_views(model, loss, all, options, keep, d);
  return d;
}

/// The masked term of one micro-batch, if the objective has one and anything has weight.
void add_masked_term(const Model& model, const LossConfig& loss, const ImagePass& pass, const Share& share,
                     const Var& sentences, const StepOptions& options, Decision& d, std::vector<Root>& roots) {
  const Reconstruction what = model.objective().reconstruction;
  Var term;
  if (what == Reconstruction::language) {
    term = reconstruct_language(model, loss, pass, share, sentences, d.weights, options.pass);
  } else if (what == Reconstruction::pixels) {
    term = reconstruct_pixels(model, loss, pass, share, options.pass);
  }
  if (!term) return;
  (what == Reconstruction::language ? d.result.recon_loss : d.result.mae_loss) += term.value.item();
  roots.push_back({term, {}});
}

/// One batch on one tape.
StepResult step_undivided(const Model& model, const LossConfig& loss, const MicroBatch& batch,
                          const StepOptions& options) {
  Tape tape;
  Decision d;
  {
    const TapeScope scope(tape);
    Embeddings all;
    ImagePass pass;
    const Objective& objective = model.objective();
    if (objective.contrastive) all.text = text_pass(model, batch.tokens, options.pass);
    if (batch.images) pass = image_pass(model, batch.images, options.pass);
    all.image = pass.embedding;
    if (objective.views) {
      all.view1 = model.encode_features(batch.view1, options.pass);
      all.view2 = model.encode_features(batch.view2, options.pass);
    }
    d = decide(model, loss, all, options, KeepMoments::yes);
    add_masked_term(model, loss, pass, {batch, 0, rows_of(batch)}, all.text, options, d, d.roots);
  }
  tape.backward(d.roots);
  return d.result;
}

/// Embeddings and features of all rows, without a tape; `passes` receives the image passes where given.
Embeddings embed_all(const Model& model, std::span<const MicroBatch> batches, const PassOptions& options,
                     std::vector<ImagePass>* passes = nullptr) {
  const TapeScope none(nullptr);
  const Objective& objective = model.objective();
  std::vector<Tensor> image, text, view1, view2;
  for (const MicroBatch& b : batches) {
    if (objective.contrastive) text.push_back(text_pass(model, b.tokens, options).value);
    if (objective.contrastive || (passes != nullptr && b.images)) {
      ImagePass pass = image_pass(model, b.images, options);
      if (objective.contrastive) image.push_back(pass.embedding.value);
      if (passes != nullptr) passes->push_back(std::move(pass));
    }
    if (objective.views) {
      view1.push_back(model.encode_features(b.view1, options).value);
      view2.push_back(model.encode_features(b.view2, options).value);
    }
  }
  const auto joined = [](const std::vector<Tensor>& parts) { return parts.empty() ? Var() : Var(concatenate(parts)); };
  return {joined(image), joined(text), joined(view1), joined(view2)};
}

/// Gradients of the embeddings and features of all rows.
struct EmbeddingGradients {
  Tensor image, text, view1, view2;
};

/// The terms over the whole batch on a tape of their own.
Decision decide_apart(const Model& model, const LossConfig& loss, const Embeddings& cached, const StepOptions& options,
                      EmbeddingGradients& gradients) {
  Tape tape;
  const auto input = [&](const Var& v) { return v ? tape.input(v.value) : Var(); };
  const Embeddings all{input(cached.image), input(cached.text), input(cached.view1), input(cached.view2)};
  Decision d;
  {
    const TapeScope scope(tape);
    d = decide(model, loss, all, options, KeepMoments::yes);
  }
  tape.backward(d.roots);
  gradients = {tape.take(all.image.slot), tape.take(all.text.slot), tape.take(all.view1.slot),
               tape.take(all.view2.slot)};
  return d;
}

/// Runs a pass of one micro-batch again, given the gradient of its rows.
template <class Pass>
void run_again(const Pass& pass, const Tensor& gradient) {
  Tape tape;
  Var rows;
  {
    const TapeScope scope(tape);
    rows = pass();
  }
  tape.backward(rows, gradient);
}

/// Several micro-batches: losses on cached embeddings first, then each part again with the gradients of its rows.
StepResult step_divided(const Model& model, const LossConfig& loss, std::span<const MicroBatch> batches,
                        const StepOptions& options) {
  const Embeddings all = embed_all(model, batches, options.pass);
  EmbeddingGradients gradients;
  Decision d = decide_apart(model, loss, all, options, gradients);
  int64_t total = 0;
  for (const MicroBatch& b : batches) total += rows_of(b);
  int64_t first = 0;
  for (const MicroBatch& b : batches) {
    const int64_t count = rows_of(b);
    if (b.images) {
      Tape tape;
      std::vector<Root> roots;
      Var sentences;
      {
        const TapeScope scope(tape);
        if (all.text) sentences = tape.input(all.text.value);
        const ImagePass pass = image_pass(model, b.images, options.pass);
        if (pass.embedding) roots.push_back({pass.embedding, gradients.image.slice(0, first, count)});
        add_masked_term(model, loss, pass, {b, first, total}, sentences, options, d, roots);
      }
      tape.backward(roots);
      if (const Tensor more = tape.take(sentences.slot)) copy_into(more, gradients.text, GradMode::accumulate);
    }
    if (model.objective().views) {
      run_again([&] { return model.encode_features(b.view1, options.pass); }, gradients.view1.slice(0, first, count));
      run_again([&] { return model.encode_features(b.view2, options.pass); }, gradients.view2.slice(0, first, count));
    }
    first += count;
  }
  first = 0;
  for (const MicroBatch& b : batches) {
    if (!all.text) break;
    run_again([&] { return text_pass(model, b.tokens, options.pass); }, gradients.text.slice(0, first, rows_of(b)));
    first += rows_of(b);
  }
  return d.result;
}

StepResult finished(StepResult result) {
  result.loss = result.clip_loss + result.recon_loss + result.mae_loss + result.ssl_loss;
  return result;
}

}  // namespace

StepResult compute_gradients(Model& model, const LossConfig& loss, std::span<const MicroBatch> batches,
                             const StepOptions& options) {
  if (batches.empty()) throw ShapeError("step: no batch");
  model.store().clear_grads();
  const StepResult result = batches.size() == 1 ? step_undivided(model, loss, batches.front(), options)
                                                : step_divided(model, loss, batches, options);
  model.store().complete_grads();
  return finished(result);
}

StepResult compute_losses(Model& model, const LossConfig& loss, std::span<const MicroBatch> batches,
                          const StepOptions& options) {
  const TapeScope none(nullptr);
  std::vector<ImagePass> passes;
  const Embeddings all = embed_all(model, batches, options.pass, &passes);
  Decision d = decide(model, loss, all, options, KeepMoments::no);
  int64_t total = 0, first = 0;
  for (const MicroBatch& b : batches) total += rows_of(b);
  for (size_t i = 0; i < passes.size(); ++i) {
    add_masked_term(model, loss, passes[i], {batches[i], first, total}, all.text, options, d, d.roots);
    first += rows_of(batches[i]);
  }
  return finished(d.result);
}

}  // namespace tessera::rils
