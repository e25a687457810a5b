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
#include "rils/model/activation.h"

namespace tessera::rils {
namespace {

constexpr double kDecoderEps = 1e-6;
constexpr int64_t kDecoderPrefix = 1;  // the decoder's tokens begin with the CLS token

/// A token parameter [1, width] with the published shape [1, 1, width].
Parameter& add_token(ParameterStore& store, const std::string& name, int64_t width) {
  return store.add_fused(name, {1, width}, {{name, {1, 1, width}, 0, nn::normal(0.02)}});
}

Tensor add_positions(ParameterStore& store, const std::string& name, const Grid& grid, int64_t width, DType dtype) {
  Tensor table = position_table(grid, width, dtype).to(store.device());
  store.add_buffer(name, table);
  return table.reshape({1 + grid.patches(), width});
}

/// The rows of the CLS tokens among all.
RowIndex cls_rows(const TokenLayout& layout) {
  std::vector<int32_t> rows;
  for (int64_t b = 0; b < layout.samples; ++b) rows.push_back(static_cast<int32_t>(b * layout.rows_per_sample()));
  return {rows, layout.samples * layout.rows_per_sample()};
}

}  // namespace

VisionTower::VisionTower(ParameterStore& store, const VisionConfig& config, DType dtype, VisionTraits traits)
    : grid_(traits.grid.value_or(grid_of(config))),
      width_(config.width),
      patch_(config.patch_size),
      pool_cls_(config.pool == Pool::cls) {
  const int64_t inputs = 3 * patch_ * patch_;
  if (traits.cls_token) cls_token_ = &add_token(store, "visual.cls_token", width_);
  if (traits.trained_positions || config.positions == Positions::learned) {
    const int64_t rows = 1 + grid_.patches();
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
  block.act = act_of(config.act);
  for (int64_t i = 0; i < config.layers; ++i) blocks_.emplace_back(store, fmt::format("visual.blocks.{}", i), block);
  if (!traits.final_norm) return;
  if (config.norm == FinalNorm::pooled) {
    fc_norm_.emplace(store, "visual.fc_norm", width_, eps);
  } else {
    norm_.emplace(store, "visual.norm", width_, eps);
  }
}

TokenFeatures VisionTower::patch_tokens(const Tensor& images, const PassOptions& options) const {
  const int64_t height = grid_.rows * patch_, width = grid_.columns * patch_;
  if (images.rank() != 4 || images.size(1) != 3 || images.size(2) != height || images.size(3) != width) {
    throw ShapeError(
        fmt::format("vision: images have shape {}, expected [N,3,{},{}]", to_string(images.shape()), height, width));
  }
  const bool wide = options.precision.compute == DType::f64 && images.dtype() != DType::f64;
  autograd::LinearInputs inputs;
  if (patch_bias_ != nullptr) inputs.bias = autograd::use(*patch_bias_);
  inputs.out_dtype = options.precision.param;
  const Tensor pixels = patchify(wide ? cast(images, DType::f64) : images, patch_, options.precision.compute);
  return {autograd::linear(pixels, autograd::use(*patch_weight_), inputs), {images.size(0), 0, grid_}};
}

/// Tokens to be encoded, sample by sample: rows of the patch tokens (−1: the CLS token), and their places in the table
/// of positions.
struct VisionTower::Chosen {
  std::vector<int32_t> rows, positions;
  SegmentTable segments;

  void add_cls() {
    rows.push_back(-1);
    positions.push_back(0);
  }
  void add_patch(const TokenLayout& layout, int64_t sample, int64_t patch) {
    rows.push_back(static_cast<int32_t>(layout.row(sample, patch)));
    positions.push_back(static_cast<int32_t>(1 + patch));
  }
};

Var VisionTower::run(const Var& patches, const Chosen& chosen, const PassOptions& options,
                     const nn::QueryRows* last) const {
  autograd::GatherInputs gather;
  if (cls_token_ != nullptr) gather.fill = autograd::use(*cls_token_);
  gather.table = trained_positions_ != nullptr ? autograd::use(*trained_positions_) : Var(positions_);
  gather.table_index = RowIndex(chosen.positions, 1 + grid_.patches());
  gather.out_dtype = options.precision.param;
  Var x = autograd::gather_rows(patches, RowIndex(chosen.rows, patches.value.size(0)), gather);
  if (norm_pre_) x = (*norm_pre_)(x, options.precision.param);
  nn::BlockInputs inputs;
  inputs.segments = chosen.segments;
  inputs.precision = options.precision;
  inputs.queries = last;
  x = nn::run_blocks(blocks_, x, inputs, options.checkpointing, options.drop_path);
  return norm_ ? (*norm_)(x, options.precision.param) : x;
}

TokenLayout VisionTower::layout_of(const TokenFeatures& patches) const {
  return {patches.layout.samples, cls_token_ != nullptr ? 1 : 0, grid_};
}

VisionTower::Chosen VisionTower::all_of(const TokenFeatures& patches) const {
  const TokenLayout layout = layout_of(patches);
  Chosen all;
  for (int64_t b = 0; b < layout.samples; ++b) {
    if (cls_token_ != nullptr) all.add_cls();
    for (int64_t p = 0; p < grid_.patches(); ++p) all.add_patch(patches.layout, b, p);
  }
  all.segments = SegmentTable::uniform(layout.samples, layout.rows_per_sample());
  return all;
}

TokenFeatures VisionTower::encode(const TokenFeatures& patches, const PassOptions& options) const {
  return {run(patches.values, all_of(patches), options), layout_of(patches)};
}

Var VisionTower::encode_visible(const TokenFeatures& patches, const Masks& masks, std::span<const int64_t> samples,
                                const PassOptions& options) const {
  Chosen visible;
  for (const int64_t b : samples) {
    if (cls_token_ != nullptr) visible.add_cls();
    for (const int32_t p : masks.visible(b)) visible.add_patch(patches.layout, b, p);
  }
  const int64_t prefix = cls_token_ != nullptr ? 1 : 0;
  visible.segments = SegmentTable::uniform(std::ssize(samples), prefix + masks.kept());
  return run(patches.values, visible, options);
}

Var VisionTower::pool(const TokenFeatures& encoded) const {
  const TokenLayout& layout = encoded.layout;
  if (!pool_cls_) {
    const SegmentTable segments = SegmentTable::uniform(layout.samples, layout.rows_per_sample());
    return after_pooling(autograd::segment_mean(encoded.values, segments, layout.prefix));
  }
  if (layout.prefix == 0) throw ConfigError("model.vision.pool: expected mean for an encoder without CLS token");
  const Var& all = encoded.values;
  return after_pooling(autograd::gather_rows(all, cls_rows(layout), {.out_dtype = all.dtype()}));
}

Var VisionTower::features(const Tensor& images, const PassOptions& options) const {
  return features(patch_tokens(images, options), options);
}

Var VisionTower::features(const TokenFeatures& patches, const PassOptions& options) const {
  const TokenLayout layout = layout_of(patches);
  if (!pool_cls_ || layout.prefix == 0) return pool(encode(patches, options));
  const nn::QueryRows cls{cls_rows(layout), SegmentTable::uniform(layout.samples, 1)};
  return after_pooling(run(patches.values, all_of(patches), options, &cls));
}

Var VisionTower::after_pooling(const Var& rows) const {
  return fc_norm_ ? (*fc_norm_)(rows, rows.value.dtype()) : rows;
}

Decoder::Decoder(ParameterStore& store, const VisionConfig& vision, const DecoderConfig& config, int64_t outputs,
                 DType dtype)
    : grid_(grid_of(vision)) {
  mask_token_ = &add_token(store, "visual.mask_token", config.width);
  embed_ = nn::Linear(store, "visual.decoder_embed", vision.width, config.width,
                      nn::xavier_uniform(vision.width, config.width), nn::zeros());
  positions_ = add_positions(store, "visual.decoder_pos_embed", grid_, config.width, dtype);
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
  const TokenLayout layout{std::ssize(samples), kDecoderPrefix, grid_};
  autograd::LinearInputs embed;
  embed.out_dtype = options.precision.param;
  const Var h = embed_(autograd::cast(visible, options.precision.compute), embed);

  // Un-shuffle: CLS and the visible rows go to their places, the mask token fills the rest.
  std::vector<int32_t> rows(static_cast<size_t>(layout.samples * layout.rows_per_sample()), -1);
  std::vector<int32_t> positions(rows.size());
  for (int64_t g = 0; g < layout.samples; ++g) {
    const auto first = static_cast<size_t>(g * layout.rows_per_sample());
    auto source = static_cast<int32_t>(g * (kDecoderPrefix + masks.kept()));
    rows[first] = source;
    for (const int32_t p : masks.visible(samples[static_cast<size_t>(g)])) {
      rows[static_cast<size_t>(layout.row(g, p))] = ++source;
    }
    const auto begin = positions.begin() + static_cast<ptrdiff_t>(first);
    std::iota(begin, begin + layout.rows_per_sample(), 0);
  }
  autograd::GatherInputs gather;
  gather.fill = autograd::use(*mask_token_);
  gather.table = positions_;
  gather.table_index = RowIndex(positions, positions_.size(0));
  gather.out_dtype = options.precision.param;
  Var x = autograd::gather_rows(h, RowIndex(rows, h.value.size(0)), gather);

  // The decoder's samples are numbered from 0, whichever of the batch they are.
  std::vector<int32_t> wanted;
  for (int64_t g = 0; g < layout.samples; ++g) {
    for (const int32_t p : masks.masked(samples[static_cast<size_t>(g)])) {
      wanted.push_back(static_cast<int32_t>(layout.row(g, p)));
    }
  }
  const nn::QueryRows queries{RowIndex(wanted, x.value.size(0)), SegmentTable::uniform(layout.samples, masks.hidden())};
  nn::BlockInputs inputs;
  inputs.segments = SegmentTable::uniform(layout.samples, layout.rows_per_sample());
  inputs.precision = options.precision;
  inputs.queries = &queries;
  x = nn::run_blocks(blocks_, x, inputs, options.checkpointing);
  autograd::LinearInputs pred;
  pred.out_dtype = options.precision.param;
  return pred_(norm_(x, options.precision.compute), pred);
}

std::vector<int32_t> hidden_rows(const Masks& masks, std::span<const int64_t> samples, const TokenLayout& layout) {
  std::vector<int32_t> rows;
  rows.reserve(samples.size() * static_cast<size_t>(masks.hidden()));
  for (const int64_t b : samples) {
    for (const int32_t p : masks.masked(b)) rows.push_back(static_cast<int32_t>(layout.row(b, p)));
  }
  return rows;
}

}  // namespace tessera::rils
