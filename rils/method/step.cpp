#include "rils/method/step.h"

#include "autograd/ops/pointwise.h"
#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "rils/method/pixels.h"
#include "rils/method/rils.h"
#include "rils/method/scalars.h"
#include "rils/method/simclr.h"

namespace tessera::rils {
namespace {

using autograd::Root;
using autograd::Tape;
using autograd::TapeScope;
using KeepMoments = ImageMlp::KeepMoments;

int64_t rows_of(const MicroBatch& b) { return b.images ? b.images.size(0) : b.view1.size(0); }

/// The micro-batches as rows of the global batch.
std::vector<Rows> rows_of(std::span<const MicroBatch> batches) {
  std::vector<Rows> rows;
  int64_t first = 0;
  for (const MicroBatch& b : batches) {
    rows.push_back({.first = first, .count = rows_of(b)});
    first += rows_of(b);
  }
  for (Rows& r : rows) r.total = first;
  return rows;
}

Tensor slice(const Tensor& x, const Rows& rows) { return x.slice(0, rows.first, rows.count); }

/// The inputs of the losses over the whole batch, one row per sample. A member is absent if the objective does not use
/// it.
template <class T>
struct Embeddings {
  T image, text;   // [N, E], normalised
  T view1, view2;  // [N, D], backbone features of the augmented views
};

/// Runs a pass on a tape of its own, and its backward from the gradient of its rows.
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

/// Computes the terms of one step in the order of METHOD.md, on one tape or in micro-batches.
class Step {
 public:
  Step(const Model& model, const LossConfig& loss, const StepOptions& options)
      : model_(model), objective_(model.objective()), loss_(loss), options_(options), pass_(options.pass) {}

  /// One batch on one tape, forward and backward.
  void undivided(const MicroBatch& batch) {
    const std::span<const MicroBatch> whole(&batch, 1);
    Tape tape;
    {
      const TapeScope scope(tape);
      Embeddings<Var> all;
      ImagePass images;
      if (objective_.contrastive) all.text = encode_texts(model_, batch.tokens, pass_);
      if (batch.images) images = encode_images(model_, batch.images, pass_);
      all.image = images.embedding;
      if (objective_.simclr) {
        all.view1 = model_.vision().features(batch.view1, pass_);
        all.view2 = model_.vision().features(batch.view2, pass_);
      }
      add_global_terms(all, KeepMoments::yes);
      choose_patches(whole);
      add_masked_term(images, batch, 0, rows_of(whole).front(), all.text, roots_);
    }
    tape.backward(roots_);
  }

  /// Several micro-batches: first the losses on cached embeddings, then each pass again with the gradient of its rows.
  /// METHOD.md, "Where gradients go", has the four parts.
  void divided(std::span<const MicroBatch> batches) {
    const Embeddings<Tensor> cached = embed(batches, nullptr);
    Embeddings<Tensor> gradients = global_terms_apart(cached);
    choose_patches(batches);
    const std::vector<Rows> rows = rows_of(batches);
    for (size_t i = 0; i < batches.size(); ++i) {
      const MicroBatch& b = batches[i];
      if (b.images) images_again(b, i, rows[i], cached, gradients);
      if (!objective_.simclr) continue;
      run_again([&] { return model_.vision().features(b.view1, pass_); }, slice(gradients.view1, rows[i]));
      run_again([&] { return model_.vision().features(b.view2, pass_); }, slice(gradients.view2, rows[i]));
    }
    // The texts last: each part's masked term may have added to their gradient.
    for (size_t i = 0; i < batches.size() && objective_.contrastive; ++i) {
      run_again([&] { return encode_texts(model_, batches[i].tokens, pass_); }, slice(gradients.text, rows[i]));
    }
  }

  /// The losses without gradients.
  void losses(std::span<const MicroBatch> batches) {
    const TapeScope none(nullptr);
    std::vector<ImagePass> passes;
    const Embeddings<Tensor> all = embed(batches, &passes);
    add_global_terms({all.image, all.text, all.view1, all.view2}, KeepMoments::no);
    choose_patches(batches);
    const std::vector<Rows> rows = rows_of(batches);
    for (size_t i = 0; i < passes.size(); ++i) add_masked_term(passes[i], batches[i], i, rows[i], all.text, roots_);
  }

  /// Reads the figures. On a device this waits for everything that is queued.
  [[nodiscard]] StepResult result() const {
    std::vector<Tensor> tensors;
    for (const auto& [figure, tensor] : figures_) tensors.push_back(tensor);
    const std::vector<double> values = values_of(tensors);
    StepResult r;
    for (size_t i = 0; i < values.size(); ++i) r.*figures_[i].first += values[i];
    if (best_texts_) r.clip_accuracy = share_of(retrieved_.empty() ? own_is_best(best_texts_) : retrieved_);
    if (best_views_) r.ssl_accuracy = share_of(own_is_best(best_views_));
    r.loss = r.clip_loss + r.recon_loss + r.mae_loss + r.ssl_loss;
    return r;
  }

 private:
  /// Computes the embeddings of all rows without a tape. If `passes` is given, it receives the image passes.
  Embeddings<Tensor> embed(std::span<const MicroBatch> batches, std::vector<ImagePass>* passes) const {
    const TapeScope none(nullptr);
    Embeddings<std::vector<Tensor>> parts;
    for (const MicroBatch& b : batches) {
      if (objective_.contrastive) parts.text.push_back(encode_texts(model_, b.tokens, pass_).value);
      if (objective_.contrastive || (passes != nullptr && b.images)) {
        ImagePass images = encode_images(model_, b.images, pass_);
        if (objective_.contrastive) parts.image.push_back(images.embedding.value);
        if (passes != nullptr) passes->push_back(std::move(images));
      }
      if (!objective_.simclr) continue;
      parts.view1.push_back(model_.vision().features(b.view1, pass_).value);
      parts.view2.push_back(model_.vision().features(b.view2, pass_).value);
    }
    return {concatenate_rows(parts.image), concatenate_rows(parts.text), concatenate_rows(parts.view1),
            concatenate_rows(parts.view2)};
  }

  /// Adds the terms that need every row of the global batch.
  void add_global_terms(const Embeddings<Var>& all, KeepMoments keep) {
    if (all.image) add_alignment(all);
    if (all.view1) add_simclr(all, keep);
  }

  void add_alignment(const Embeddings<Var>& all) {
    const Alignment a = align(model_, loss_, all.image, all.text);
    roots_.push_back({a.contrastive.loss, {}});
    best_texts_ = a.contrastive.best;
    figures_.emplace_back(&StepResult::clip_loss, a.contrastive.loss.value);
    figures_.emplace_back(&StepResult::logit_scale, a.scale.value);
  }

  void add_simclr(const Embeddings<Var>& all, KeepMoments keep) {
    const ImageMlp& head = *model_.image_mlp();
    const Var first = head(all.view1, pass_.precision, keep);
    const Var second = head(all.view2, pass_.precision, keep);
    const SimclrLoss simclr = simclr_loss(first, second, loss_.ssl_temperature);
    const Var weighted = autograd::scale(simclr.loss, loss_.ssl_scale);
    roots_.push_back({weighted, {}});
    best_views_ = simclr.best;
    figures_.emplace_back(&StepResult::ssl_loss, weighted.value);
  }

  /// Draws the masks of every image, and makes the gate of the images that retrieve their own text. The masks come
  /// first because the gate waits for the device, which computes meanwhile.
  void choose_patches(std::span<const MicroBatch> batches) {
    const Reconstruction what = objective_.reconstruction;
    const double factor = options_.reconstruction_factor;
    const double weight = what == Reconstruction::language ? loss_.reconstruction_weight * factor : loss_.mae_weight;
    if (what == Reconstruction::none || weight == 0) return;
    for (const MicroBatch& b : batches) masks_.emplace_back(b.noise, loss_.mask_ratio);
    if (what != Reconstruction::language) return;
    retrieved_ = own_is_best(best_texts_);
    gate_ = make_gate(retrieved_, hidden_patches(model_, loss_), loss_, factor);
  }

  /// Adds these terms for cached embeddings, on a tape of its own. Returns the gradients of the embeddings.
  Embeddings<Tensor> global_terms_apart(const Embeddings<Tensor>& cached) {
    Tape tape;
    const auto input = [&](const Tensor& x) { return x ? tape.input(x) : Var(); };
    const Embeddings<Var> all{input(cached.image), input(cached.text), input(cached.view1), input(cached.view2)};
    {
      const TapeScope scope(tape);
      add_global_terms(all, KeepMoments::yes);
    }
    tape.backward(roots_);
    return {tape.take(all.image.slot), tape.take(all.text.slot), tape.take(all.view1.slot), tape.take(all.view2.slot)};
  }

  /// Adds the masked term (L_rec or L_mae) of micro-batch `i` to `roots`, unless the objective has none or its weight
  /// is 0.
  void add_masked_term(const ImagePass& images, const MicroBatch& b, size_t i, const Rows& rows, const Var& sentences,
                       std::vector<Root>& roots) {
    if (masks_.empty()) return;
    const bool language = objective_.reconstruction == Reconstruction::language;
    const Var term = language
                         ? reconstruct(model_, loss_, images, masks_[i], gate_.within(rows), sentences, pass_)
                         : reconstruct_pixels(model_, loss_, images.patches, b.images, masks_[i], rows.total, pass_);
    if (!term) return;
    figures_.emplace_back(language ? &StepResult::recon_loss : &StepResult::mae_loss, term.value);
    roots.push_back({term, {}});
  }

  /// Runs the image passes of a micro-batch with its masked term, and their backward. The gradient that this term gives
  /// the sentences is added to gradients.text.
  void images_again(const MicroBatch& b, size_t i, const Rows& rows, const Embeddings<Tensor>& cached,
                    const Embeddings<Tensor>& gradients) {
    Tape tape;
    std::vector<Root> roots;
    Var sentences;
    {
      const TapeScope scope(tape);
      if (cached.text) sentences = tape.input(cached.text);
      const ImagePass images = encode_images(model_, b.images, pass_);
      if (images.embedding) roots.push_back({images.embedding, slice(gradients.image, rows)});
      add_masked_term(images, b, i, rows, sentences, roots);
    }
    tape.backward(roots);
    if (const Tensor more = tape.take(sentences.slot)) copy_into(more, gradients.text, GradMode::accumulate);
  }

  const Model& model_;
  const Objective& objective_;
  const LossConfig& loss_;
  const StepOptions& options_;
  const PassOptions& pass_;
  std::vector<Root> roots_;
  std::vector<Masks> masks_;  // one a micro-batch; none without a masked term
  Gate gate_;
  // What the figures are made of. They stay on the device until result(), so that nothing waits for them before.
  std::vector<std::pair<double StepResult::*, Tensor>> figures_;
  Tensor best_texts_, best_views_;
  std::vector<uint8_t> retrieved_;  // read for the gate
};

}  // namespace

StepResult compute_gradients(Model& model, const LossConfig& loss, std::span<const MicroBatch> batches,
                             const StepOptions& options) {
  if (batches.empty()) throw ShapeError("step: no batch");
  model.store().clear_grads();
  Step step(model, loss, options);
  if (batches.size() == 1) {
    step.undivided(batches.front());
  } else {
    step.divided(batches);
  }
  model.store().complete_grads();
  return step.result();
}

StepResult compute_losses(Model& model, const LossConfig& loss, std::span<const MicroBatch> batches,
                          const StepOptions& options) {
  Step step(model, loss, options);
  step.losses(batches);
  return step.result();
}

}  // namespace tessera::rils
