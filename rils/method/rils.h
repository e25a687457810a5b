#pragma once

#include "rils/method/contrastive.h"
#include "rils/method/gate.h"
#include "rils/model/model.h"

namespace tessera::rils {

// RILS in the order of METHOD.md: encode, align, reconstruct. `step.cpp` runs the three on one tape, or one after the
// other where the global batch is divided; the other objectives share the first two.

/// The image side of a micro-batch of B images.
struct ImagePass {
  TokenFeatures patches;  // patch tokens, B·P rows: what the masked pass starts from
  TokenFeatures encoded;  // the full pass, B·(1 + P) rows
  Var embedding;          // [B, E], L2-normalised
};
/// 1. The images: patch tokens, and where the objective is contrastive the full pass and the joint embedding.
[[nodiscard]] ImagePass encode_images(const Model& model, const Tensor& images, const PassOptions& options);
/// 1. The sentences, [B, E], L2-normalised.
[[nodiscard]] Var encode_texts(const Model& model, const Tensor& tokens, const PassOptions& options);

/// What the contrastive loss of a global batch gives.
struct Alignment {
  Contrastive contrastive;
  Var scale;  // exp(logit_scale)
  Gate gate;  // closed where the objective reconstructs nothing in language space
};
/// 2. Images and sentences against each other, and the gate. image, text [N, E]. `factor` scales the reconstruction
/// weight.
[[nodiscard]] Alignment align(const Model& model, const LossConfig& loss, const Var& image, const Var& text,
                              double factor);

/// 3. The reconstruction loss of a micro-batch: the hidden patches of its images that pass the gate, seen by sentences
/// [N, E] of the whole batch. noise [B, P] decides the masks. Absent where no image passes.
[[nodiscard]] Var reconstruct(const Model& model, const LossConfig& loss, const ImagePass& pass, const Tensor& noise,
                              const Gate& gate, const Var& sentences, const PassOptions& options);

/// Hidden patches of an image.
[[nodiscard]] int64_t hidden_patches(const Model& model, const LossConfig& loss);

}  // namespace tessera::rils
