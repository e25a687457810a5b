#include "rils/model/text.h"

#include <fmt/format.h>

#include <algorithm>

#include "autograd/ops/rows.h"
#include "engine/core/error.h"
#include "rils/model/activation.h"

namespace tessera::rils {

TextTower::TextTower(ParameterStore& store, const TextConfig& config)
    : context_length_(config.context_length), width_(config.width) {
  positions_ = &store.add("positional_embedding", {context_length_, width_}, nn::normal(0.01));
  if (config.vocab_size < 3) {
    throw ConfigError(fmt::format("model.text.vocab_size: expected at least 3, found {}", config.vocab_size));
  }
  token_embedding_ = &store.add("token_embedding.weight", {config.vocab_size, width_}, nn::normal(0.02));
  nn::TransformerBlock::Spec block = nn::TransformerBlock::text(width_, config.heads, config.layers);
  block.act = act_of(config.act);
  for (int64_t i = 0; i < config.layers; ++i) {
    blocks_.emplace_back(store, fmt::format("transformer.resblocks.{}", i), block);
  }
  norm_ = nn::LayerNorm(store, "ln_final", width_, 1e-5);
}

Var TextTower::operator()(const Tensor& tokens, const PassOptions& options) const {
  if (tokens.rank() != 2 || tokens.size(1) != context_length_) {
    throw ShapeError(
        fmt::format("text: tokens have shape {}, expected [N,{}]", to_string(tokens.shape()), context_length_));
  }
  std::vector<int32_t> ids, positions, ends;
  std::vector<int64_t> lengths;
  const auto all = tokens.data<int32_t>();
  for (int64_t b = 0; b < tokens.size(0); ++b) {
    const auto row = all.subspan(static_cast<size_t>(b * context_length_), static_cast<size_t>(context_length_));
    const auto length = std::ranges::max_element(row) - row.begin() + 1;
    for (int64_t t = 0; t < length; ++t) {
      ids.push_back(row[static_cast<size_t>(t)]);
      positions.push_back(static_cast<int32_t>(t));
    }
    lengths.push_back(length);
    ends.push_back(static_cast<int32_t>(ids.size()) - 1);
  }
  if (!ids.empty() && *std::ranges::min_element(ids) < 0) throw ShapeError("text: a negative token id");

  autograd::GatherInputs gather;
  gather.table = autograd::use(*positions_);
  gather.table_index = RowIndex(positions, context_length_);
  gather.out_dtype = options.precision.param;
  const Var embedding = autograd::use(*token_embedding_);
  Var x = autograd::gather_rows(embedding, RowIndex(ids, embedding.value.size(0)), gather);

  const nn::QueryRows last{RowIndex(ends, static_cast<int64_t>(ids.size())), SegmentTable::uniform(tokens.size(0), 1)};
  nn::BlockInputs inputs;
  inputs.segments = SegmentTable(lengths);
  inputs.precision = options.precision;
  inputs.queries = &last;
  x = nn::run_blocks(blocks_, x, inputs, options.checkpointing);
  return norm_(x, options.precision.param);
}

}  // namespace tessera::rils
