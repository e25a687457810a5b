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

/// How a caption that is too long is truncated: the last id becomes EOT (as in OpenAI's CLIP and open_clip), or the ids
/// are cut off and EOT is lost (as in SLIP).
enum class Truncation : uint8_t { keep_eot, cut };
/// Reads "keep-eot" or "cut". Throws ConfigError for any other name.
[[nodiscard]] Truncation parse_truncation(std::string_view name);

/// Fills the span with the ids of a text: SOT, the ids, EOT, zeros. Returns whether the text was too long and was
/// truncated.
using Tokenize = std::function<bool(std::string_view text, std::span<int32_t> ids)>;

/// Converts text to ids. Several threads may call the const functions at once.
class Tokenizer {
 public:
  /// Throws ConfigError for a context below 3.
  Tokenizer(std::shared_ptr<const Vocabulary> vocabulary, int64_t context_length, Truncation truncation);

  [[nodiscard]] const Vocabulary& vocabulary() const { return *vocabulary_; }
  [[nodiscard]] int64_t context_length() const { return context_length_; }
  /// All ids of a text, without SOT and EOT.
  [[nodiscard]] std::vector<int32_t> encode(std::string_view text) const;
  /// Fills a span of context_length with SOT, the ids, EOT and zeros. Returns whether the text was truncated.
  bool encode_padded(std::string_view text, std::span<int32_t> out) const;
  /// The memory that the ids of words seen before take, at most kCacheBytes.
  [[nodiscard]] size_t cached_bytes() const;
  static constexpr size_t kCacheBytes = 16 << 20;
  /// The text of the ids, with a blank after each word.
  [[nodiscard]] std::string decode(std::span<const int32_t> ids) const;

 private:
  void encode_word(std::string_view word, std::vector<int32_t>& ids) const;
  [[nodiscard]] std::vector<int32_t> merge_word(std::string_view word) const;

  std::shared_ptr<const Vocabulary> vocabulary_;
  int64_t context_length_;
  Truncation truncation_;
  mutable std::mutex mutex_;
  mutable std::unordered_map<std::string, std::vector<int32_t>> cache_;
  mutable size_t cached_bytes_ = 0;
};

/// Splits a cleaned text as CLIP's regular expression does: into runs of letters, single digits, runs of other signs,
/// and English clitics ('s, 't, …).
[[nodiscard]] std::vector<std::string_view> split_words(std::string_view cleaned);

}  // namespace tessera::rils
