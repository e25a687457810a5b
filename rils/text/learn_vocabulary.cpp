#include "rils/text/learn_vocabulary.h"

#include <fmt/format.h>

#include <map>
#include <queue>
#include <set>
#include <unordered_map>

#include "engine/core/error.h"
#include "rils/text/clean.h"
#include "rils/text/tokenizer.h"

namespace tessera::rils {
namespace {

using Pair = std::pair<int32_t, int32_t>;

/// The symbols of all distinct words and the counts of their pairs, updated with every merge.
class Learner {
 public:
  explicit Learner(const std::map<std::string, int64_t>& words) {
    for (const auto& [word, count] : words) {
      std::vector<int32_t> symbols;
      for (size_t i = 0; i < word.size(); ++i) {
        symbols.push_back(symbol(encode_symbol(word.substr(i, 1), i + 1 == word.size())));
      }
      words_.push_back({std::move(symbols), count});
      for (size_t i = 0; i + 1 < words_.back().symbols.size(); ++i) {
        add({words_.back().symbols[i], words_.back().symbols[i + 1]}, words_.size() - 1, count);
      }
    }
    for (const auto& [pair, entry] : pairs_) queue_.push({entry.count, key(pair), pair});
  }

  /// Makes the next merge and returns its symbols; false when no pair occurs twice.
  bool next(std::pair<std::string, std::string>& merge) {
    while (!queue_.empty()) {
      const Candidate top = queue_.top();
      queue_.pop();
      const auto it = pairs_.find(top.pair);
      if (it == pairs_.end() || it->second.count != top.count) continue;  // an outdated count
      if (top.count < 2) return false;
      merge = {names_[static_cast<size_t>(top.pair.first)], names_[static_cast<size_t>(top.pair.second)]};
      apply(top.pair);
      return true;
    }
    return false;
  }

 private:
  struct Word {
    std::vector<int32_t> symbols;
    int64_t count;
  };
  struct Entry {
    int64_t count = 0;
    std::set<size_t> words;
  };
  struct Candidate {
    int64_t count;
    std::pair<std::string, std::string> names;
    Pair pair;
    bool operator<(const Candidate& o) const { return count != o.count ? count < o.count : names > o.names; }
  };

  int32_t symbol(const std::string& name) {
    const auto [it, fresh] = ids_.try_emplace(name, static_cast<int32_t>(names_.size()));
    if (fresh) names_.push_back(name);
    return it->second;
  }
  [[nodiscard]] std::pair<std::string, std::string> key(Pair p) const {
    return {names_[static_cast<size_t>(p.first)], names_[static_cast<size_t>(p.second)]};
  }
  void add(Pair pair, size_t word, int64_t count) {
    Entry& entry = pairs_[pair];
    entry.count += count;
    entry.words.insert(word);
  }

  void apply(Pair pair) {
    const int32_t made = symbol(names_[static_cast<size_t>(pair.first)] + names_[static_cast<size_t>(pair.second)]);
    const std::set<size_t> touched = pairs_[pair].words;
    std::set<Pair> changed;
    for (const size_t w : touched) {
      Word& word = words_[w];
      const auto count_pairs = [&](int64_t sign) {
        for (size_t i = 0; i + 1 < word.symbols.size(); ++i) {
          const Pair p{word.symbols[i], word.symbols[i + 1]};
          add(p, w, sign * word.count);
          changed.insert(p);
        }
      };
      count_pairs(-1);
      std::vector<int32_t> next;
      for (size_t i = 0; i < word.symbols.size(); ++i) {
        if (i + 1 < word.symbols.size() && Pair{word.symbols[i], word.symbols[i + 1]} == pair) {
          next.push_back(made);
          ++i;
        } else {
          next.push_back(word.symbols[i]);
        }
      }
      word.symbols = std::move(next);
      count_pairs(+1);
    }
    for (const Pair& p : changed) {
      if (pairs_[p].count <= 0) {
        pairs_.erase(p);
      } else {
        queue_.push({pairs_[p].count, key(p), p});
      }
    }
  }

  std::vector<Word> words_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, int32_t> ids_;
  std::map<Pair, Entry> pairs_;
  std::priority_queue<Candidate> queue_;
};

}  // namespace

Vocabulary learn_vocabulary(const ForEachCaption& captions, int64_t size,
                            const std::function<void(int64_t done, int64_t most)>& progress) {
  if (size < 515 || size > 49408) {
    throw ConfigError(fmt::format("vocabulary size: expected 515 to 49408, found {}", size));
  }
  std::map<std::string, int64_t> words;
  captions([&](std::string_view caption) {
    const std::string cleaned = clean_caption(caption);
    for (const std::string_view word : split_words(cleaned))
      if (word.size() <= kLongestLearnedWord) ++words[std::string(word)];
  });
  if (words.empty()) throw IoError("vocabulary: expected captions with words, found none");
  Learner learner(words);
  std::vector<std::pair<std::string, std::string>> merges;
  std::pair<std::string, std::string> merge;
  const int64_t most = size - 514;
  while (std::ssize(merges) < most && learner.next(merge)) {
    merges.push_back(merge);
    if (progress && std::ssize(merges) < most) progress(std::ssize(merges), most);
  }
  if (progress) progress(most, most);
  return {std::move(merges), "learned vocabulary"};
}

}  // namespace tessera::rils
