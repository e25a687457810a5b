#include "rils/text/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <queue>

#include "engine/core/error.h"
#include "rils/text/clean.h"
#include "rils/text/unicode.h"

namespace tessera::rils {
namespace {

constexpr std::string_view kStart = "<start_of_text>";
constexpr std::string_view kEnd = "<end_of_text>";
/// CLIP's regular expression folds case, and ſ folds to s. This text is therefore one word, but not the special symbol.
constexpr std::string_view kStartLongS = "<ſtart_of_text>";
constexpr char32_t kIotaBelow = 0x345;        // combining iota below; its capital is the letter iota
constexpr size_t kEntryBytes = 128;           // what an entry of the cache takes beside its word and ids
constexpr size_t kMostEntryBytes = 16 << 10;  // a longer word hardly comes again

/// The number of bytes of an English clitic ('s, 't, 're, 've, 'm, 'll, 'd) at the start, or 0. Case is folded, so ſ is
/// an s.
size_t clitic(std::string_view text) {
  for (const std::string_view word : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'ſ"}) {
    if (text.starts_with(word)) return word.size();
  }
  return 0;
}

/// Whether CLIP's regular expression skips a character: white space, and the iota below, which with case folding is
/// neither a letter nor another sign.
bool is_gap(uint32_t code) { return unicode::is_space(code) || code == kIotaBelow; }

template <class Predicate>
size_t run_length(std::string_view text, Predicate&& belongs) {
  size_t n = 0;
  while (n < text.size()) {
    const unicode::Decoded d = unicode::decode(text.substr(n));
    if (!belongs(d.code)) break;
    n += d.bytes;
  }
  return n;
}

}  // namespace

Truncation parse_truncation(std::string_view name) {
  if (name == "keep-eot") return Truncation::keep_eot;
  if (name == "cut") return Truncation::cut;
  throw ConfigError(fmt::format("truncation: expected keep-eot or cut, found \"{}\"", name));
}

std::vector<std::string_view> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const unicode::Decoded d = unicode::decode(text);
    size_t n = 0;
    for (const std::string_view special : {kStart, kEnd, kStartLongS}) {
      if (text.starts_with(special)) n = special.size();
    }
    if (n == 0) n = clitic(text);
    if (n == 0 && unicode::is_letter(d.code)) n = run_length(text, unicode::is_letter);
    if (n == 0 && unicode::is_number(d.code)) n = d.bytes;
    if (n == 0 && !is_gap(d.code)) {
      n = run_length(text, [](uint32_t c) { return !is_gap(c) && !unicode::is_letter(c) && !unicode::is_number(c); });
    }
    if (n > 0) words.push_back(text.substr(0, n));
    text.remove_prefix(n > 0 ? n : d.bytes);
  }
  return words;
}

Tokenizer::Tokenizer(std::shared_ptr<const Vocabulary> vocabulary, int64_t context_length, Truncation truncation)
    : vocabulary_(std::move(vocabulary)), context_length_(context_length), truncation_(truncation) {
  if (context_length < 3)
    throw ConfigError(fmt::format("context length: expected 3 or more, found {}", context_length));
}

std::vector<int32_t> Tokenizer::merge_word(std::string_view word) const {
  const size_t n = word.size();
  std::vector<int32_t> ids(n);
  for (size_t i = 0; i < n; ++i) ids[i] = vocabulary_->byte_id(static_cast<uint8_t>(word[i]), i + 1 == n);
  // The symbols are a list, and a queue holds its pairs by rank and place: a long word takes n log n steps, not n².
  std::vector<size_t> next(n + 1), previous(n + 1);
  for (size_t i = 0; i <= n; ++i) next[i] = i + 1, previous[i] = i - 1;
  std::vector<bool> gone(n + 1);
  using Place = std::pair<int32_t, size_t>;
  std::priority_queue<Place, std::vector<Place>, std::greater<>> queue;
  const auto rank_at = [&](size_t i) { return gone[i] || next[i] >= n ? -1 : vocabulary_->rank(ids[i], ids[next[i]]); };
  const auto push = [&](size_t i) {
    if (const int32_t rank = rank_at(i); rank >= 0) queue.emplace(rank, i);
  };
  for (size_t i = 0; i < n; ++i) push(i);
  std::vector<size_t> made;
  while (!queue.empty()) {
    // As in CLIP, all pairs of the lowest rank are merged before the pairs that arise are looked at.
    const int32_t rank = queue.top().first;
    made.clear();
    for (; !queue.empty() && queue.top().first == rank; queue.pop()) {
      const size_t i = queue.top().second;
      if (rank_at(i) != rank) continue;  // a neighbour was merged in the meantime
      gone[next[i]] = true;
      next[i] = next[next[i]];
      previous[next[i]] = i;
      ids[i] = vocabulary_->merged(rank);
      made.push_back(i);
    }
    for (const size_t i : made) {
      push(i);
      if (i > 0) push(previous[i]);
    }
  }
  std::vector<int32_t> merged;
  for (size_t i = 0; i < n; i = next[i]) merged.push_back(ids[i]);
  return merged;
}

void Tokenizer::encode_word(std::string_view word, std::vector<int32_t>& ids) const {
  if (word == kStart || word == kEnd) {
    ids.push_back(word == kStart ? vocabulary_->sot() : vocabulary_->eot());
    return;
  }
  const std::string key(word);
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = cache_.find(key); it != cache_.end()) {
      ids.insert(ids.end(), it->second.begin(), it->second.end());
      return;
    }
  }
  std::vector<int32_t> made = merge_word(word);
  ids.insert(ids.end(), made.begin(), made.end());
  const size_t bytes = key.size() + made.size() * sizeof(int32_t) + kEntryBytes;
  if (bytes > kMostEntryBytes) return;
  const std::lock_guard lock(mutex_);
  if (cached_bytes_ + bytes > kCacheBytes) cache_.clear(), cached_bytes_ = 0;
  if (cache_.emplace(key, std::move(made)).second) cached_bytes_ += bytes;
}

size_t Tokenizer::cached_bytes() const {
  const std::lock_guard lock(mutex_);
  return cached_bytes_;
}

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  const std::string cleaned = clean_caption(text);
  std::vector<int32_t> ids;
  for (const std::string_view word : split_words(cleaned)) encode_word(word, ids);
  return ids;
}

bool Tokenizer::encode_padded(std::string_view text, std::span<int32_t> out) const {
  if (static_cast<int64_t>(out.size()) != context_length_) {
    throw ShapeError(fmt::format("tokenizer: the row has {} ids, expected {}", out.size(), context_length_));
  }
  std::vector<int32_t> ids = encode(text);
  ids.insert(ids.begin(), vocabulary_->sot());
  ids.push_back(vocabulary_->eot());
  const bool cut = ids.size() > out.size();
  if (cut) {
    ids.resize(out.size());
    if (truncation_ == Truncation::keep_eot) ids.back() = vocabulary_->eot();
  }
  std::ranges::fill(out, 0);
  std::ranges::copy(ids, out.begin());
  return cut;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) {
    text += vocabulary_->bytes(id);
    if (vocabulary_->ends_word(id)) text += ' ';
  }
  return text;
}

}  // namespace tessera::rils
