#include "rils/model/vision.h"

#include <fmt/format.h>

#include <numeric>

#include "autograd/ops/linear.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/rows.h"
#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "engine/ops/patches.h"
#include "rils/model/positions.h"

namespace tessera::rils {
namespace {

constexpr double kDecoderEps = 1e-6;

/// A token parameter [1, width] with the published shape [1, 1, width].
Parameter& add_token(ParameterStore& store, const std::string& name, int64_t width) {
  return store.add_fused(name, {1, width}, {{name, {1, 1, width}, 0, nn::normal(0.02)}});
}

Tensor add_positions(ParameterStore& store, const std::string& name, int64_t grid, int64_t width, DType dtype) {
  Tensor table = position_table(grid, width, dtype);
  store.add_buffer(name, table);
  return table.reshape({1 + grid * grid, width});
}

}  // namespace

VisionTower::VisionTower(ParameterStore& store, const VisionConfig& config, DType dtype, VisionTraits traits)
    : grid_(config.image_size / config.patch_size),
      width_(config.width),
      patch_(config.patch_size),
      pool_cls_(config.pool == "cls") {
  const int64_t inputs = 3 * patch_ * patch_;
  cls_token_ = &add_token(store, "visual.cls_token", width_);
  if (traits.trained_positions || config.positions == "learned") {
    const int64_t rows = 1 + patches();
    trained_positions_ = &store.add_fused("visual.pos_embed", {rows, width_},
                                          {{"visual.pos_embed", {1, rows, width_}, 0, nn::normal(0.02)}});
  } else {
    positions_ = add_positions(store, "visual.pos_embed", grid_, width_, dtype);
  }
  const std::string patch = "visual.patch_embed.proj";
  patch_weight_ =
      &store.add_fused(patch + ".weight", {width_, inputs},
                       {{patch + ".weight", {width_, 3, patch_, patch_}, 0, nn::xavier_uniform(inputs, width_)}});
  const double eps = norm_eps(config);
  if (config.pre_norm) {
    norm_pre_.emplace(store, "visual.norm_pre", width_, eps);
  } else {
    patch_bias_ = &store.add(patch + ".bias", {width_}, nn::fan_in_uniform(inputs));
  }
  nn::TransformerBlock::Spec block = nn::TransformerBlock::vision(width_, config.heads);
  block.eps = eps;
  block.act = config.act == "quick_gelu" ? Act::quick_gelu : Act::gelu_erf;
  for (int64_t i = 0; i < config.layers; ++i) blocks_.emplace_back(store, fmt::format("visual.blocks.{}", i), block);
  if (!traits.final_norm) return;
  if (config.norm == "pooled") {
    fc_norm_.emplace(store, "visual.fc_norm", width_, eps);
  } else {
    norm_.emplace(store, "visual.norm", width_, eps);
  }
}

Var VisionTower::patch_tokens(const Tensor& images, const PassOptions& options) const {
  const int64_t size = grid_ * patch_;
  if (images.rank() != 4 || images.size(1) != 3 || images.size(2) != size || images.size(3) != size) {
    throw ShapeError(
        fmt::format("vision: images have shape {}, expected [N,3,{},{}]", to_string(images.shape()), size, size));
  }
  const bool wide = options.precision.compute == DType::f64 && images.dtype() != DType::f64;
  autograd::LinearInputs inputs;
  if (patch_bias_ != nullptr) inputs.bias = autograd::use(*patch_bias_);
  inputs.out_dtype = options.precision.param;
  return autograd::linear(patchify(wide ? cast(images, DType::f64) : images, patch_, options.precision.compute),
                          autograd::use(*patch_weight_), inputs);
}

Var VisionTower::run(const Var& tokens, std::span<const int32_t> rows, std::span<const int32_t> positions,
                     const SegmentTable& segments, const PassOptions& options) const {
  autograd::GatherInputs gather;
  gather.fill = autograd::use(*cls_token_);
  gather.table = trained_positions_ != nullptr ? autograd::use(*trained_positions_) : Var(positions_);
  gather.table_index = RowIndex(positions, 1 + patches());
  gather.out_dtype = options.precision.param;
  Var x = autograd::gather_rows(tokens, RowIndex(rows, tokens.value.size(0)), gather);
  if (norm_pre_) x = (*norm_pre_)(x, options.precision.param);
  nn::BlockInputs inputs;
  inputs.segments = segments;
  inputs.precision = options.precision;
  x = nn::run_blocks(blocks_, x, inputs, options.checkpointing, options.drop_path);
  return norm_ ? (*norm_)(x, options.precision.param) : x;
}

Var VisionTower::encode(const Var& tokens, int64_t samples, const PassOptions& options) const {
  std::vector<int32_t> rows, positions;
  for (int64_t b = 0; b < samples; ++b) {
    rows.push_back(-1);
    positions.push_back(0);
    for (int64_t p = 0; p < patches(); ++p) {
      rows.push_back(static_cast<int32_t>(b * patches() + p));
      positions.push_back(static_cast<int32_t>(1 + p));
    }
  }
  return run(tokens, rows, positions, SegmentTable::uniform(samples, 1 + patches()), options);
}

Var VisionTower::encode_visible(const Var& tokens, const Masks& masks, std::span<const int64_t> samples,
                                const PassOptions& options) const {
  std::vector<int32_t> rows, positions;
  for (const int64_t b : samples) {
    rows.push_back(-1);
    positions.push_back(0);
    for (const int32_t p : masks.visible(b)) {
      rows.push_back(static_cast<int32_t>(b * patches() + p));
      positions.push_back(1 + p);
    }
  }
  const auto count = static_cast<int64_t>(samples.size());
  return run(tokens, rows, positions, SegmentTable::uniform(count, 1 + masks.kept()), options);
}

Var VisionTower::pool(const Var& encoded, int64_t samples) const {
  if (!pool_cls_) {
    return after_pooling(autograd::segment_mean(encoded, SegmentTable::uniform(samples, 1 + patches()), 1));
  }
  std::vector<int32_t> rows;
  for (int64_t b = 0; b < samples; ++b) rows.push_back(static_cast<int32_t>(b * (1 + patches())));
  return after_pooling(
      autograd::gather_rows(encoded, RowIndex(rows, encoded.value.size(0)), {.out_dtype = encoded.value.dtype()}));
}

Var VisionTower::after_pooling(const Var& rows) const {
  return fc_norm_ ? (*fc_norm_)(rows, rows.value.dtype()) : rows;
}

Decoder::Decoder(ParameterStore& store, const VisionConfig& vision, const DecoderConfig& config, int64_t outputs,
                 DType dtype) {
  const int64_t grid = vision.image_size / vision.patch_size;
  patches_ = grid * grid;
  mask_token_ = &add_token(store, "visual.mask_token", config.width);
  embed_ = nn::Linear(store, "visual.decoder_embed", vision.width, config.width,
                      nn::xavier_uniform(vision.width, config.width), nn::zeros());
  positions_ = add_positions(store, "visual.decoder_pos_embed", grid, config.width, dtype);
  for (int64_t i = 0; i < config.layers; ++i) {
    blocks_.emplace_back(store, fmt::format("visual.decoder_blocks.{}", i),
                         nn::TransformerBlock::vision(config.width, config.heads));
  }
  norm_ = nn::LayerNorm(store, "visual.decoder_norm", config.width, kDecoderEps);
  pred_ = nn::Linear(store, "visual.decoder_pred", config.width, outputs, nn::xavier_uniform(config.width, outputs),
                     nn::zeros());
}

Var Decoder::operator()(const Var& visible, const Masks& masks, std::span<const int64_t> samples,
                        const PassOptions& options) const {
  const auto count = static_cast<int64_t>(samples.size());
  const int64_t shown = 1 + masks.kept();
  autograd::LinearInputs embed;
  embed.out_dtype = options.precision.param;
  const Var h = embed_(autograd::cast(visible, options.precision.compute), embed);

  // Un-shuffle: CLS and the visible rows go to their places, the mask token fills the rest.
  std::vector<int32_t> rows(static_cast<size_t>(count * (1 + patches_)), -1);
  std::vector<int32_t> positions(rows.size());
  for (int64_t g = 0; g < count; ++g) {
    const auto first = static_cast<size_t>(g * (1 + patches_));
    auto source = static_cast<int32_t>(g * shown);
    rows[first] = source;
    for (const int32_t p : masks.visible(samples[static_cast<size_t>(g)])) {
      rows[first + 1 + static_cast<size_t>(p)] = ++source;
    }
    std::iota(positions.begin() + static_cast<ptrdiff_t>(first),
              positions.begin() + static_cast<ptrdiff_t>(first) + 1 + patches_, 0);
  }
  autograd::GatherInputs gather;
  gather.fill = autograd::use(*mask_token_);
  gather.table = positions_;
  gather.table_index = RowIndex(positions, positions_.size(0));
  gather.out_dtype = options.precision.param;
  Var x = autograd::gather_rows(h, RowIndex(rows, h.value.size(0)), gather);

  const std::vector<int32_t> wanted = hidden_rows(masks, samples, true);
  const nn::QueryRows queries{RowIndex(wanted, x.value.size(0)), SegmentTable::uniform(count, masks.hidden())};
  nn::BlockInputs inputs;
  inputs.segments = SegmentTable::uniform(count, 1 + patches_);
  inputs.precision = options.precision;
  inputs.queries = &queries;
  x = nn::run_blocks(blocks_, x, inputs, options.checkpointing);
  autograd::LinearInputs pred;
  pred.out_dtype = options.precision.param;
  return pred_(norm_(x, options.precision.compute), pred);
}

std::vector<int32_t> hidden_rows(const Masks& masks, std::span<const int64_t> samples, bool dense) {
  std::vector<int32_t> rows;
  rows.reserve(samples.size() * static_cast<size_t>(masks.hidden()));
  for (size_t g = 0; g < samples.size(); ++g) {
    const int64_t sample = dense ? static_cast<int64_t>(g) : samples[g];
    for (const int32_t p : masks.masked(samples[g])) {
      rows.push_back(static_cast<int32_t>(sample * (1 + masks.patches()) + 1 + p));
    }
  }
  return rows;
}

}  // namespace tessera::rils
