#include "rils/model/memory.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/memory/pool.h"
#include "rils/model/cost.h"
#include "rils/model/masking.h"
#include "rils/model/positions.h"

namespace tessera::rils {
namespace {

constexpr double kF32 = 4;

/// The bytes of `count` tensors of this size, as the pool hands them out.
double blocks(double bytes, double count = 1) {
  constexpr double kMost = 0x1p50;  // what no machine has need not be rounded, nor fit an integer
  if (bytes <= 0 || bytes > kMost) return count * std::fmax(bytes, 0);
  return count * static_cast<double>(CachingPool::rounded(static_cast<size_t>(std::ceil(bytes))));
}

/// A part of the tape: what the backward reads of it, and what its backward holds besides at its worst moment.
struct Section {
  double kept = 0, passing = 0;
};

/// The blocks of a tower. The last one computes `queries` of the rows.
struct Tower {
  double rows, queries, layers, width, heads;
};

class Planner {
 public:
  Planner(const ModelConfig& model, const LossConfig& loss, const StepShape& step)
      : m_(model),
        step_(step),
        objective_(terms_of(model.objective)),
        compute_(static_cast<double>(size_of(step.compute))),
        samples_(static_cast<double>(step.micro_batch)),
        patches_(static_cast<double>(grid_of(model.vision).patches())),
        kept_(static_cast<double>(kept_patches(grid_of(model.vision).patches(), loss.mask_ratio))),
        width_(static_cast<double>(model.vision.width)) {}

  [[nodiscard]] double images() const {
    const double views = (objective_.contrastive || reconstructs() ? 1 : 0) + (objective_.simclr ? 2 : 0);
    const double pixels = 3.0 * static_cast<double>(m_.vision.image_size * m_.vision.image_size);
    return blocks(views * static_cast<double>(step_.global_batch) * pixels * kF32);
  }

  /// The peak over the tapes of a step. A batch in one piece has one tape; of several, each part has its own
  /// (rils/method/step.cpp).
  [[nodiscard]] double peak() const {
    std::vector<Section> texts, pictures, view, head;
    if (objective_.contrastive) texts.push_back(text());
    if (objective_.contrastive || reconstructs()) pictures.push_back(full());
    if (objective_.simclr) {
      view.push_back(full_pass(false));
      head.push_back(projection_head());
    }
    if (reconstructs()) {
      pictures.push_back(masked());
      pictures.push_back(decoder());
      pictures.push_back(reconstruction());
    }
    if (step_.micro_batch != step_.global_batch) {
      return std::max({peak_of(texts), peak_of(pictures), peak_of(view), peak_of(head)});
    }
    std::vector<Section> all = texts;
    if (!pictures.empty()) all.push_back(pictures.front());
    for (const auto* part : {&view, &view, &head}) all.insert(all.end(), part->begin(), part->end());
    if (reconstructs()) all.insert(all.end(), pictures.begin() + 1, pictures.end());
    return peak_of(all);
  }

 private:
  [[nodiscard]] bool reconstructs() const { return objective_.reconstruction != Reconstruction::none; }
  [[nodiscard]] bool in_language() const { return objective_.reconstruction == Reconstruction::language; }

  /// The backward goes through the sections from the last to the first and frees what it has read.
  static double peak_of(const std::vector<Section>& sections) {
    double kept = 0, peak = 0;
    for (const Section& s : sections) {
      kept += s.kept;
      peak = std::max(peak, kept + s.passing);
    }
    return peak;
  }

  /// Kept of a block: the stream before each half, qkv, the output of attention, the hidden layer before its
  /// activation, and the log-sum-exp of attention.
  [[nodiscard]] double block(const Tower& t, double queries) const {
    const double qkv = queries == t.rows
                           ? blocks(3 * t.width * t.rows * compute_)
                           : blocks(2 * t.width * t.rows * compute_) + blocks(t.width * queries * compute_);
    return blocks(t.width * t.rows * kF32) + blocks(t.width * queries * kF32) + qkv +
           blocks(t.width * queries * compute_) + blocks(4 * t.width * queries * compute_) +
           blocks(t.heads * queries * kF32);
  }

  [[nodiscard]] Section tower(const Tower& t) const {
    Section s;
    const double each = block(t, t.rows), last = block(t, t.queries), stream = blocks(t.width * t.rows * kF32);
    const double output = blocks(t.width * t.queries * kF32);  // what the final norm reads
    // The worst moment is in the last block, or in the one before, where what the last one kept has been freed.
    const double more = t.layers > 1 ? gradients(t, t.rows) - output : 0;
    if (step_.checkpointing) {
      s.kept = t.layers * stream + output;
      s.passing = std::max(last + gradients(t, t.queries), t.layers > 1 ? each + more - stream : 0);
    } else {
      s.kept = (t.layers - 1) * each + last + output;
      s.passing = std::max(gradients(t, t.queries), more - last);
    }
    return s;
  }

  /// In a block's backward: the gradients of the hidden layer and of the stream, the latter also in the type of
  /// products, and the output of the norm, which is made again.
  [[nodiscard]] double gradients(const Tower& t, double rows) const {
    return blocks(4 * t.width * rows * compute_) + blocks(t.width * rows * kF32) +
           blocks(t.width * rows * compute_, step_.compute == DType::f32 ? 1 : 2);
  }

  [[nodiscard]] double patch_pixels() const {
    return blocks(samples_ * patches_ * static_cast<double>(patch_inputs(m_.vision)) * compute_);
  }
  [[nodiscard]] double all_rows() const { return samples_ * (patches_ + 1); }

  [[nodiscard]] Section text() const {
    const double rows = samples_ * step_.caption_tokens;
    return tower({rows, samples_, static_cast<double>(m_.text.layers), static_cast<double>(m_.text.width),
                  static_cast<double>(m_.text.heads)});
  }

  /// The image tower over all patches. `rows_are_read`: the reconstruction in language space reads every row.
  [[nodiscard]] Section full_pass(bool rows_are_read) const {
    const bool cls = m_.vision.pool == Pool::cls && !rows_are_read;
    Section s = tower({all_rows(), cls ? samples_ : all_rows(), static_cast<double>(m_.vision.layers), width_,
                       static_cast<double>(m_.vision.heads)});
    s.kept += patch_pixels();
    if (rows_are_read) s.kept += blocks(all_rows() * width_ * kF32);  // after the final norm
    return s;
  }

  /// What every objective with images does with them first: patch tokens, which stay, and the full pass if any.
  [[nodiscard]] Section full() const {
    const double tokens = blocks(samples_ * patches_ * width_ * kF32);
    Section s = objective_.contrastive ? full_pass(in_language()) : Section{patch_pixels(), 0};
    s.kept += tokens;
    return s;
  }

  /// Samples of the masked pass.
  [[nodiscard]] double chosen() const { return in_language() ? std::ceil(step_.gate_rate * samples_) : samples_; }

  [[nodiscard]] Section masked() const {
    const double rows = chosen() * (kept_ + 1);
    return tower({rows, rows, static_cast<double>(m_.vision.layers), width_, static_cast<double>(m_.vision.heads)});
  }

  [[nodiscard]] double hidden() const { return chosen() * (patches_ - kept_); }

  [[nodiscard]] Section decoder() const {
    Section s = tower({chosen() * (patches_ + 1), hidden(), static_cast<double>(m_.decoder.layers),
                       static_cast<double>(m_.decoder.width), static_cast<double>(m_.decoder.heads)});
    s.kept += blocks(chosen() * (kept_ + 1) * width_ * compute_);  // what decoder_embed reads
    return s;
  }

  /// Predictions and targets of hidden patches, in language space at unit length too. Besides, the gradients of the
  /// predictions, also in the type of products, and of what they were made from; or before, when targets are pixels,
  /// all patches in two orders.
  [[nodiscard]] Section reconstruction() const {
    const auto outputs = static_cast<double>(decoder_outputs(m_));
    const double kept = in_language() ? blocks(hidden() * outputs * kF32) +
                                            blocks(hidden() * static_cast<double>(m_.embed_dim) * kF32, 3)
                                      : blocks(hidden() * outputs * kF32, 2);
    const double cast = step_.compute == DType::f32 ? 0 : blocks(hidden() * outputs * compute_);
    const double gradients =
        blocks(hidden() * outputs * kF32) + cast + blocks(hidden() * static_cast<double>(m_.decoder.width) * compute_);
    const double pixels = in_language() ? 0 : blocks(samples_ * patches_ * outputs * kF32, 2);
    return {kept, std::max(gradients, pixels)};
  }

  /// Of each view and each of two layers: before the norm in f32, after it and after the ReLU.
  [[nodiscard]] Section projection_head() const {
    const double numbers = static_cast<double>(step_.global_batch) * static_cast<double>(m_.image_mlp.hidden);
    return {blocks(numbers * kF32, 4) + blocks(numbers * compute_, 8), blocks(numbers * compute_)};
  }

  const ModelConfig& m_;
  const StepShape& step_;
  Objective objective_;
  double compute_, samples_, patches_, kept_, width_;
};

/// Both packs of every linear layer's weight but the patch embedding, which takes its weight as it is.
double packed_weights(const ModelConfig& m, DType compute, const KernelTable& kernels) {
  const auto weight = [&](int64_t outputs, int64_t inputs) {
    double bytes = 0;
    for (const Side side : {Side::forward, Side::grad_input}) {
      bytes += blocks(static_cast<double>(kernels.linear.pack_bytes(outputs, inputs, compute, side)));
    }
    return bytes;
  };
  const auto tower = [&](int64_t layers, int64_t w) {
    return static_cast<double>(layers) * (weight(3 * w, w) + weight(w, w) + weight(4 * w, w) + weight(w, 4 * w));
  };
  const Objective objective = terms_of(m.objective);
  const int64_t d = m.vision.width;
  double bytes = tower(m.vision.layers, d);
  if (objective.contrastive) bytes += tower(m.text.layers, m.text.width);
  if (objective.reconstruction != Reconstruction::none) {
    const int64_t w = m.decoder.width;
    bytes += tower(m.decoder.layers, w) + weight(w, d) + weight(decoder_outputs(m), w);
  }
  if (objective.simclr) {
    const int64_t h = m.image_mlp.hidden;
    bytes += weight(h, d) + weight(h, h) + weight(m.image_mlp.output, h);
  }
  return bytes;
}

}  // namespace

TrainingMemory training_memory(const ModelConfig& model, const LossConfig& loss, const StepShape& step,
                               const KernelTable& kernels) {
  const Planner planner(model, loss, step);
  TrainingMemory memory;
  memory.weights = blocks(kF32 * static_cast<double>(parameter_counts(model).total()), step.ema ? 5 : 4);
  memory.packs = packed_weights(model, step.compute, kernels);
  memory.inputs = planner.images();
  memory.activations = planner.peak();
  return memory;
}

}  // namespace tessera::rils
