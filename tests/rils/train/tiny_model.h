#pragma once

#include <string>
#include <vector>

#include "engine/core/philox.h"
#include "rils/config/schema.h"
#include "rils/method/step.h"

namespace tessera::test {

/// A model of any objective that makes hundreds of steps a second: images of 8 × 8 in four patches, six tokens of a
/// vocabulary of 40.
[[nodiscard]] inline rils::Config tiny_config(const std::string& objective = "rils") {
  rils::Config c;
  rils::set_assignment(c, "model.objective=" + objective);
  c.model.embed_dim = 8;
  c.model.vision.image_size = 8;
  c.model.vision.patch_size = 4;
  c.model.vision.width = 16;
  c.model.vision.layers = 2;
  c.model.vision.heads = 2;
  c.model.decoder = {.width = 16, .layers = 1, .heads = 2};
  c.model.text.context_length = 6;
  c.model.text.vocab_size = 40;
  c.model.text.width = 16;
  c.model.text.layers = 1;
  c.model.text.heads = 2;
  c.model.image_mlp = {.hidden = 16, .output = 8};
  return c;
}

/// The terms of an objective.
[[nodiscard]] inline rils::Objective objective_of(const std::string& name) {
  return rils::Model(tiny_config(name).model, 0).objective();
}

/// Random rows with everything that any objective reads.
[[nodiscard]] inline rils::MicroBatch random_rows(uint64_t seed, int64_t rows) {
  const Philox random(seed, "rows");
  const auto filled = [&](const Shape& shape, uint64_t stream, bool normal) {
    Tensor t = Tensor::empty(shape);
    uint64_t i = 0;
    for (float& x : t.data<float>()) {
      x = normal ? static_cast<float>(random.normal(stream, 0, i)) : random.uniform(stream, 0, i);
      ++i;
    }
    return t;
  };
  Tensor tokens = Tensor::zeros({rows, 6}, DType::i32);
  const auto ids = tokens.data<int32_t>();
  for (int64_t r = 0; r < rows; ++r) {
    const auto at = static_cast<size_t>(6 * r);
    ids[at] = 38;
    for (size_t i = 1; i < 4; ++i) ids[at + i] = static_cast<int32_t>(random.below(38, 9, static_cast<uint64_t>(r), i));
    ids[at + 4] = 39;
  }
  const Shape images{rows, 3, 8, 8};
  return {filled(images, 1, true), tokens, filled({rows, 4}, 2, false), filled(images, 3, true),
          filled(images, 4, true)};
}

}  // namespace tessera::test
