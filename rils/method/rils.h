#pragma once

#include "rils/method/contrastive.h"
#include "rils/method/gate.h"
#include "rils/model/model.h"

namespace tessera::rils {

// RILS in the order of METHOD.md: encode, align, reconstruct. step.cpp runs the three on one tape, or on several if the
// global batch is divided. The other objectives take the functions that they need from here.

/// What a micro-batch of B images gives before the losses.
struct ImagePass {
  TokenFeatures patches;  // patch tokens, B·P rows: what the masked pass starts from
  TokenFeatures encoded;  // the full pass, B·(1 + P) rows; absent unless the objective reconstructs in language space
  Var embedding;          // [B, E], L2-normalised; absent unless the objective is contrastive
};
/// 1. The images: patch tokens, and for a contrastive objective also the joint embedding. The rows of the full pass are
/// kept where the reconstruction reads them.
[[nodiscard]] ImagePass encode_images(const Model& model, const Tensor& images, const PassOptions& options);
/// 1. The sentences, [B, E], L2-normalised.
[[nodiscard]] Var encode_texts(const Model& model, const Tensor& tokens, const PassOptions& options);

/// What the contrastive loss of a global batch gives; make_gate takes the images that retrieve their own text.
struct Alignment {
  Contrastive contrastive;
  Var scale;  // exp(logit_scale)
};
/// 2. The contrastive loss between images and sentences. image, text [N, E].
[[nodiscard]] Alignment align(const Model& model, const LossConfig& loss, const Var& image, const Var& text);

/// 3. The reconstruction loss of a micro-batch: over the hidden patches of its images that pass the gate and the
/// sentences [N, E] of the whole batch. `gate` is that of the micro-batch (Gate::within); `masks` are those of all its
/// images. The result is absent if no image passes.
[[nodiscard]] Var reconstruct(const Model& model, const LossConfig& loss, const ImagePass& pass, const Masks& masks,
                              const Gate& gate, const Var& sentences, const PassOptions& options);

/// The number of hidden patches of an image.
[[nodiscard]] int64_t hidden_patches(const Model& model, const LossConfig& loss);

}  // namespace tessera::rils
