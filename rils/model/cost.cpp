#include "rils/model/cost.h"

#include <algorithm>

#include "rils/model/masking.h"
#include "rils/model/positions.h"

namespace tessera::rils {
namespace {

int64_t norm_parameters(int64_t width) { return 2 * width; }

/// A block: two norms, qkv with `qkv_bias` entries, proj, fc1, fc2.
int64_t block_parameters(int64_t width, int64_t qkv_bias) {
  return 2 * norm_parameters(width) + 3 * width * width + qkv_bias + width * width + width + 8 * width * width +
         5 * width;
}

/// Products of `rows` rows of a block, of which `queries` are carried past the keys and values.
double block_macs(double width, double rows, double queries) {
  return 2 * width * width * rows + (width * width + 9 * width * width) * queries + 2 * width * rows * queries;
}

/// Whether the last block of every pass over all patches computes the CLS row alone (see VisionTower::features). RILS
/// reads the other rows.
bool last_block_is_cls(const ModelConfig& m) {
  return m.vision.pool == Pool::cls && terms_of(m.objective).reconstruction != Reconstruction::language;
}

bool has_decoder(const ModelConfig& m) { return terms_of(m.objective).reconstruction != Reconstruction::none; }

}  // namespace

int64_t patch_inputs(const VisionConfig& v) { return 3 * v.patch_size * v.patch_size; }

int64_t decoder_outputs(const ModelConfig& m) {
  const bool pixels = terms_of(m.objective).reconstruction == Reconstruction::pixels;
  return pixels ? patch_inputs(m.vision) : m.vision.width;
}

ParameterCounts parameter_counts(const ModelConfig& m) {
  ParameterCounts c;
  const int64_t d = m.vision.width;
  c.encoder = d + d * patch_inputs(m.vision) + m.vision.layers * block_parameters(d, 2 * d) + norm_parameters(d);
  c.encoder += m.vision.pre_norm ? norm_parameters(d) : d;  // instead of the patch bias
  if (m.vision.positions == Positions::learned) c.encoder += (1 + grid_of(m.vision).patches()) * d;
  if (has_decoder(m)) {
    const int64_t w = m.decoder.width;
    c.decoder = w + (d * w + w) + m.decoder.layers * block_parameters(w, 2 * w) + norm_parameters(w) +
                (w + 1) * decoder_outputs(m);
  }
  const Objective objective = terms_of(m.objective);
  if (objective.simclr) {
    const int64_t h = m.image_mlp.hidden;
    c.image_mlp = (d * h + h) + (h * h + h) + 2 * norm_parameters(h) + (h + 1) * m.image_mlp.output;
  }
  if (!objective.contrastive) return c;
  const int64_t t = m.text.width;
  c.text = m.text.vocab_size * t + m.text.context_length * t + m.text.layers * block_parameters(t, 3 * t) +
           norm_parameters(t) + t * m.embed_dim;
  c.image_projection = d * m.embed_dim;
  c.logit_scale = 1;
  return c;
}

ForwardCost forward_cost(const ModelConfig& m, const LossConfig& loss, double caption_tokens, int64_t batch) {
  ForwardCost c;
  const Objective objective = terms_of(m.objective);
  const auto d = static_cast<double>(m.vision.width);
  const auto e = static_cast<double>(m.embed_dim);
  const auto patches = static_cast<double>(grid_of(m.vision).patches());
  const auto layers = static_cast<double>(m.vision.layers);
  const double embedding = patches * d * static_cast<double>(patch_inputs(m.vision));
  const double pass = embedding + (layers - 1) * block_macs(d, patches + 1, patches + 1) +
                      block_macs(d, patches + 1, last_block_is_cls(m) ? 1 : patches + 1);
  if (objective.contrastive || !objective.any()) c.full_pass = pass;
  if (objective.contrastive) {
    const auto t = static_cast<double>(m.text.width);
    c.text = static_cast<double>(m.text.layers - 1) * block_macs(t, caption_tokens, caption_tokens) +
             block_macs(t, caption_tokens, 1);
    c.projections = d * e + t * e + 2.0 * e * static_cast<double>(batch);
  }
  if (objective.simclr) {
    const auto h = static_cast<double>(m.image_mlp.hidden);
    const auto o = static_cast<double>(m.image_mlp.output);
    c.simclr = 2 * (pass + d * h + h * h + h * o + 2.0 * o * static_cast<double>(batch));
  }
  if (!has_decoder(m)) return c;
  c.gated = objective.reconstruction == Reconstruction::language;
  const auto kept = static_cast<double>(kept_patches(static_cast<int64_t>(patches), loss.mask_ratio));
  const double hidden = patches - kept;
  const auto w = static_cast<double>(m.decoder.width);
  // Patch tokens are those of the full pass where there is one.
  c.masked_pass = (objective.contrastive ? 0 : embedding) + layers * block_macs(d, kept + 1, kept + 1);
  c.decoder = (kept + 1) * d * w + static_cast<double>(m.decoder.layers - 1) * block_macs(w, patches + 1, patches + 1) +
              block_macs(w, patches + 1, hidden) + hidden * w * static_cast<double>(decoder_outputs(m));
  if (c.gated) c.patch_sentence = 2 * hidden * (d * e + e * static_cast<double>(batch));
  return c;
}

}  // namespace tessera::rils
