#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rils/text/vocabulary.h"

namespace tessera::rils {

/// What becomes of a caption that is too long: the last slot is overwritten with EOT (OpenAI's and open_clip's), or ids
/// are just cut off (SLIP's, which loses EOT).
enum class Truncation : uint8_t { keep_eot, cut };
/// "keep-eot" or "cut". Throws ConfigError otherwise.
[[nodiscard]] Truncation parse_truncation(std::string_view name);

/// Writes a text's ids, SOT and EOT included, over the whole span, zero-padded. Returns whether the text was too long
/// and had to be cut.
using Tokenize = std::function<bool(std::string_view text, std::span<int32_t> ids)>;

/// Text to ids. All const functions may be called by several threads at once.
class Tokenizer {
 public:
  /// Throws ConfigError for a context below 3.
  Tokenizer(std::shared_ptr<const Vocabulary> vocabulary, int64_t context_length, Truncation truncation);

  [[nodiscard]] const Vocabulary& vocabulary() const { return *vocabulary_; }
  [[nodiscard]] int64_t context_length() const { return context_length_; }
  /// Ids without start and end of text, not cut.
  [[nodiscard]] std::vector<int32_t> encode(std::string_view text) const;
  /// SOT, ids, EOT, zeros over the whole span of context_length. True when the text was cut.
  bool encode_padded(std::string_view text, std::span<int32_t> out) const;
  /// The text of ids; a blank after each word.
  [[nodiscard]] std::string decode(std::span<const int32_t> ids) const;

 private:
  void encode_word(std::string_view word, std::vector<int32_t>& ids) const;
  [[nodiscard]] std::vector<int32_t> merge_word(std::string_view word) const;

  std::shared_ptr<const Vocabulary> vocabulary_;
  int64_t context_length_;
  Truncation truncation_;
  mutable std::mutex mutex_;
  mutable std::unordered_map<std::string, std::vector<int32_t>> cache_;
};

/// The words of a cleaned text: letters, single digits, runs of other signs, and English clitics, as CLIP's pattern has
/// it.
[[nodiscard]] std::vector<std::string_view> split_words(std::string_view cleaned);

}  // namespace tessera::rils
