#include "rils/text/tokenizer.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/text/clean.h"
#include "rils/text/learn_vocabulary.h"

namespace tessera::rils {
namespace {

std::string golden(const char* name) { return std::string(TESSERA_SOURCE_DIR) + "/tests/golden/text/" + name; }

/// Reads line breaks, tabs, zeros and backslashes from the notation of the golden files.
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = text[i] == '\\' && i + 1 < text.size() ? text[i + 1] : '\0';
    if (next == '\0') {
      out += text[i];
      continue;
    }
    out += next == 't' ? '\t' : next == 'n' ? '\n' : next == 'r' ? '\r' : next == '0' ? '\0' : next;
    ++i;
  }
  return out;
}

Tokenizer golden_tokenizer(int64_t length = 77, Truncation truncation = Truncation::keep_eot) {
  return {std::make_shared<const Vocabulary>(Vocabulary::load(golden("merges.txt"))), length, truncation};
}

TEST(Tokenizer, CleansAndEncodesAsOpenClip) {
  const Tokenizer tokenizer = golden_tokenizer();
  std::istringstream lines(read_file(golden("tokens.tsv")));
  int compared = 0;
  for (std::string line; std::getline(lines, line); ++compared) {
    const size_t tab = line.find('\t');
    const size_t second = line.find('\t', tab + 1);
    ASSERT_NE(second, std::string::npos) << line;
    const std::string text = unescape(line.substr(0, tab));
    EXPECT_EQ(clean_caption(text), unescape(line.substr(tab + 1, second - tab - 1))) << line;
    std::istringstream numbers(line.substr(second + 1));
    std::vector<int32_t> expected;
    for (int32_t id = 0; numbers >> id;) expected.push_back(id);
    EXPECT_EQ(tokenizer.encode(text), expected) << line;
  }
  EXPECT_GT(compared, 1500);
}

TEST(Tokenizer, PadsAndTruncates) {
  const Tokenizer keep = golden_tokenizer(5);
  const Tokenizer cut = golden_tokenizer(5, Truncation::cut);
  const int32_t eot = keep.vocabulary().eot();
  std::vector<int32_t> ids(5, -1);
  EXPECT_FALSE(keep.encode_padded("a", ids));
  EXPECT_EQ(ids[0], keep.vocabulary().sot());
  EXPECT_EQ(ids[2], eot);
  EXPECT_EQ(ids[3], 0);
  EXPECT_TRUE(keep.encode_padded("a b c d e f g", ids));
  EXPECT_EQ(ids[4], eot);
  EXPECT_TRUE(cut.encode_padded("a b c d e f g", ids));
  EXPECT_EQ(std::ranges::count(ids, eot), 0);
  EXPECT_THROW((void)parse_truncation("both"), ConfigError);
}

TEST(Tokenizer, InvalidUtf8NeverCrashes) {
  const Tokenizer tokenizer = golden_tokenizer();
  for (int first = 0; first < 256; ++first) {
    for (const char* rest : {"", "\x80", "\xbf\xbf", "a", "\xff"}) {
      std::string text(1, static_cast<char>(first));
      text += rest;
      for (const int32_t id : tokenizer.encode(text)) {
        EXPECT_GE(id, 0);
        EXPECT_LT(id, tokenizer.vocabulary().size());
      }
    }
  }
}

/// CLIP's own way of merging: all pairs of the lowest rank in one pass over the word.
std::vector<int32_t> merged_by_passes(const Vocabulary& v, std::string_view word) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < word.size(); ++i)
    ids.push_back(v.byte_id(static_cast<uint8_t>(word[i]), i + 1 == word.size()));
  for (;;) {
    int32_t best = -1;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const int32_t rank = v.rank(ids[i], ids[i + 1]);
      if (rank >= 0 && (best < 0 || rank < best)) best = rank;
    }
    if (best < 0) return ids;
    std::vector<int32_t> next;
    for (size_t i = 0; i < ids.size(); ++i) {
      const bool pair = i + 1 < ids.size() && v.rank(ids[i], ids[i + 1]) == best;
      next.push_back(pair ? v.merged(best) : ids[i]);
      i += pair ? 1 : 0;
    }
    ids = std::move(next);
  }
}

/// Random vocabularies, in which symbols come from several merges and merges of a lower rank arise late.
TEST(Tokenizer, MergesInClipsOrder) {
  std::mt19937 random(3);
  int merged = 0;
  for (int trial = 0; trial < 60; ++trial) {
    std::vector<std::string> symbols = {"a", "b"};
    std::vector<std::pair<std::string, std::string>> merges;
    for (int i = 0; i < 40; ++i) {
      const std::string left = symbols[random() % symbols.size()], right = symbols[random() % symbols.size()];
      if (left.size() + right.size() > 5) continue;
      merges.emplace_back(left, right);
      symbols.push_back(left + right);
    }
    std::shuffle(merges.begin() + 3, merges.end(), random);
    const auto vocabulary = std::make_shared<const Vocabulary>(merges, "random");
    const Tokenizer tokenizer(vocabulary, 77, Truncation::keep_eot);
    for (int w = 0; w < 40; ++w) {
      std::string word;
      for (size_t n = 1 + random() % 60; n > 0; --n) word += static_cast<char>('a' + random() % 2);
      const auto expected = merged_by_passes(*vocabulary, word);
      ASSERT_EQ(tokenizer.encode(word), expected) << word;
      merged += expected.size() < word.size() ? 1 : 0;
    }
  }
  EXPECT_GT(merged, 2000);
}

TEST(Tokenizer, AWordOfAMegabyteIsEncodedAndNotKept) {
  const Tokenizer tokenizer = golden_tokenizer();
  std::string word(1'000'000, 'a');
  std::mt19937 random(1);
  for (char& c : word) c = static_cast<char>('a' + random() % 26);
  const auto begin = std::chrono::steady_clock::now();
  const auto ids = tokenizer.encode(word);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  EXPECT_EQ(tokenizer.decode(ids), word + " ");
  EXPECT_LT(ids.size(), word.size());
  EXPECT_EQ(tokenizer.cached_bytes(), 0u);
}

TEST(Tokenizer, TheCacheIsBoundedInBytes) {
  const Tokenizer tokenizer = golden_tokenizer();
  (void)tokenizer.encode("dog");
  EXPECT_GT(tokenizer.cached_bytes(), 0u);
  size_t largest = 0;
  std::mt19937 random(1);
  for (int i = 0; i < 12'000; ++i) {
    std::string word(400, 'a');
    for (char& c : word) c = static_cast<char>('a' + random() % 26);
    (void)tokenizer.encode(word);
    largest = std::max(largest, tokenizer.cached_bytes());
  }
  EXPECT_LE(largest, Tokenizer::kCacheBytes);
  EXPECT_GT(largest, Tokenizer::kCacheBytes / 2) << "words are kept";
  EXPECT_LT(tokenizer.cached_bytes(), largest) << "the cache was emptied";
}

TEST(Vocabulary, HostileFilesGiveOneClearError) {
  const auto path = std::filesystem::path(testing::TempDir()) / ("merges_" + std::to_string(::getpid()));
  const auto expect_error = [&](const std::string& content, const std::string& part) {
    write_file_atomically(path, content);
    try {
      (void)Vocabulary::load(path);
      FAIL() << content;
    } catch (const IoError& e) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    }
  };
  expect_error("", "empty");
  expect_error("#v\na b\nonlyone\n", ":3");
  expect_error("#v\na b c\n", ":2");
  expect_error("#v\na \xe2\x82\xac\n", "stands for no byte");
  expect_error(std::string("\x1f\x8b\x08\x00gzip that is cut", 20), "gzip");
  EXPECT_THROW((void)Vocabulary::load(path.string() + ".none"), IoError);
  std::filesystem::remove(path);
}

TEST(Vocabulary, CutAndDamagedFilesGiveOneLineOrAVocabulary) {
  const auto path = std::filesystem::path(testing::TempDir()) / ("damaged_" + std::to_string(::getpid()));
  const std::string plain = read_file(golden("merges.txt"));
  gzFile file = gzopen(path.c_str(), "wb");
  ASSERT_EQ(gzwrite(file, plain.data(), static_cast<unsigned>(plain.size())), static_cast<int>(plain.size()));
  gzclose(file);
  const std::string packed = read_file(path);
  EXPECT_EQ(Vocabulary::load(path).digest(), Vocabulary::load(golden("merges.txt")).digest());
  int failed = 0;
  const auto attempt = [&](const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
    try {
      EXPECT_GE(Vocabulary::load(path).size(), 514);
    } catch (const IoError& e) {
      ++failed;
      EXPECT_EQ(std::string(e.what()).find_first_of("\n\r"), std::string::npos) << e.what();
    }
  };
  for (size_t n = 2; n < packed.size(); n += 5) attempt(packed.substr(0, n));
  EXPECT_EQ(failed, static_cast<int>((packed.size() - 3) / 5 + 1)) << "every cut of a gzip file is noticed";
  std::mt19937 random(1);
  for (int i = 0; i < 100; ++i) {
    std::string damaged = i % 2 == 0 ? plain : packed;
    for (int k = 0; k < 8; ++k) damaged[random() % damaged.size()] = static_cast<char>(random());
    attempt(damaged);
    attempt(plain.substr(0, random() % plain.size()));
  }
  std::filesystem::remove(path);
}

TEST(Vocabulary, ItsTextMakesItAgain) {
  const std::string header = "#version: 0.2 byte-level BPE merges",
                    merges = header + "\na b\nab c</w>\n\" \\</w>\n\u0120 d";
  const auto path = std::filesystem::path(testing::TempDir()) / ("text_" + std::to_string(::getpid()));
  // A line break at the end counts as one more symbol.
  for (const std::string& text : {header, header + "\n\n", merges, merges + "\n"}) {
    const Vocabulary read = Vocabulary::parse(text, "text");
    EXPECT_EQ(read.size(), 514 + (text.size() >= merges.size() ? 4 : 0) + (text.ends_with('\n') ? 1 : 0)) << text;
    EXPECT_EQ(read.text(), text);
    read.save(path);
    EXPECT_EQ(Vocabulary::load(path).text(), text);
    read.save_gzipped(path);
    EXPECT_EQ(read_file(path).substr(0, 2), "\x1f\x8b");
    EXPECT_EQ(Vocabulary::load(path).text(), text);
    EXPECT_EQ(Vocabulary::load(path).digest(), read.digest());
  }
  std::filesystem::remove(path);
}

TEST(Vocabulary, LearnsMergesThatLoadAgain) {
  const std::vector<std::string> captions = {"a low lower lowest slow", "the lower low wall",
                                             "newer newest wider walls"};
  const auto each = [&](const std::function<void(std::string_view)>& visit) {
    for (const std::string& c : captions) visit(c);
  };
  const Vocabulary learned = learn_vocabulary(each, 540);
  EXPECT_GT(learned.size(), 514);
  EXPECT_LE(learned.size(), 540);
  const auto path = std::filesystem::path(testing::TempDir()) / ("learned_" + std::to_string(::getpid()));
  learned.save(path);
  const auto loaded = std::make_shared<const Vocabulary>(Vocabulary::load(path));
  EXPECT_EQ(loaded->digest(), learned.digest());
  const Tokenizer tokenizer(loaded, 16, Truncation::keep_eot);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("lower walls")), "lower walls ");
  EXPECT_LT(tokenizer.encode("lower").size(), 5u);
  EXPECT_EQ(learn_vocabulary(each, 540).digest(), learned.digest());
  EXPECT_THROW((void)learn_vocabulary(each, 100), ConfigError);
  const auto with_a_long_word = [&](const std::function<void(std::string_view)>& visit) {
    each(visit);
    visit(std::string(kLongestLearnedWord + 1, 'z'));
  };
  EXPECT_EQ(learn_vocabulary(with_a_long_word, 540).digest(), learned.digest());
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace tessera::rils
