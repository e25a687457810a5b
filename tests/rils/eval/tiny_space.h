#pragma once

#include <string>
#include <vector>

#include "nn/io/checkpoint.h"
#include "rils/config/toml.h"
#include "rils/eval/embed.h"
#include "rils/text/vocabulary.h"
#include "tests/rils/data/test_files.h"
#include "tests/rils/train/tiny_model.h"
#include "tests/support/golden.h"

namespace tessera::test {

/// A picture of random pixels.
[[nodiscard]] inline std::string noise_png(uint64_t seed, int width = 8, int height = 8) {
  const Philox random(seed, "picture");
  rils::Image image(width, height);
  uint64_t i = 0;
  for (uint8_t& p : image.pixels) p = static_cast<uint8_t>(random.below(256, 0, 0, i++));
  return text_of(rils::encode_png(image));
}

/// A configuration of a tiny model whose vocabulary is that of the text tests, from which the model's size follows.
[[nodiscard]] inline rils::Config worded_config(const std::string& objective = "rils") {
  rils::Config c = tiny_config(objective);
  c.data.vocabulary = golden_path("text/merges.txt");
  c.model.text.vocab_size = rils::Vocabulary::load(c.data.vocabulary).size();
  c.model.text.context_length = 24;
  return c;
}

/// Weights with their metadata, as pretrain writes them.
inline std::string write_checkpoint(const std::filesystem::path& file, const rils::Config& c, uint64_t seed) {
  const rils::Model model(c.model, seed);
  nn::save_weights(file, model.store(),
                   {{"config", rils::to_toml(c)}, {"vocabulary", rils::Vocabulary::load(c.data.vocabulary).digest()}});
  return file.string();
}

/// A text's characters as ids below 38, between start and end.
inline bool tokenize_letters(std::string_view text, std::span<int32_t> ids) {
  std::ranges::fill(ids, 0);
  ids[0] = 38;
  size_t used = 1;
  for (const char c : text) {
    if (used + 1 < ids.size()) ids[used++] = c % 38;
  }
  ids[used] = 39;
  return text.size() + 2 > ids.size();
}

}  // namespace tessera::test
