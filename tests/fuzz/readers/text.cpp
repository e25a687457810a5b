// Captions and vocabularies: encodings, cleaning, words, merges.
#include <algorithm>
#include <array>
#include <memory>

#include "rils/text/ascii.h"
#include "rils/text/clean.h"
#include "rils/text/encoding.h"
#include "rils/text/english.h"
#include "rils/text/html.h"
#include "rils/text/learn_vocabulary.h"
#include "rils/text/tokenizer.h"
#include "rils/text/unicode.h"
#include "rils/text/vocabulary.h"
#include "tests/fuzz/harness.h"

namespace tessera::fuzz {
namespace {

using namespace rils;

Vocabulary learned(std::string_view captions, int64_t size) {
  return learn_vocabulary(
      [&](const auto& take) {
        for (const std::string_view caption : split(captions, '\n')) take(caption);
      },
      size);
}

std::shared_ptr<const Vocabulary> small_vocabulary() {
  static const auto vocabulary = std::make_shared<const Vocabulary>(
      learned("a dog on a beach\nthe dog runs on the beach\ntwo dogs in the water\na red ball in the water\n", 600));
  return vocabulary;
}

void check_ids(const std::vector<int32_t>& ids, const Vocabulary& vocabulary) {
  expect(std::ranges::all_of(ids, [&](int32_t id) { return id >= 0 && id < vocabulary.size(); }),
         "ids of the vocabulary");
}

/// Encodes and decodes a text. The symbols that CLIP's expression knows by name stand for no bytes.
void check_words(const Tokenizer& tokenizer, std::string_view text) {
  const std::vector<int32_t> ids = tokenizer.encode(text);
  check_ids(ids, tokenizer.vocabulary());
  std::string words;
  const std::string cleaned = clean_caption(text);
  for (const std::string_view word : split_words(cleaned)) {
    if (word != "<start_of_text>" && word != "<end_of_text>") words.append(word).push_back(' ');
  }
  expect(tokenizer.decode(ids) == words, "ids that give the words again");
}

TESSERA_FUZZ(encoding) {
  const auto strict = decode_text(input, TextEncoding::utf_8);
  const auto loose = decode_text(input, TextEncoding::windows_1252);
  expect(!strict || is_utf8(*strict), "UTF-8");
  expect(!loose || is_utf8(*loose), "UTF-8 by the fallback");
  expect(!strict || strict == loose, "a fallback for texts that are not UTF-8 only");
  const std::string repaired = unicode::encode_all(unicode::decode_all(input));
  expect(is_utf8(repaired), "replacement characters for invalid bytes");
  expect(!is_utf8(input) || repaired == input, "UTF-8 that stays as it is");
}

TESSERA_FUZZ(clean) {
  const std::string cleaned = clean_caption(input);
  expect(is_utf8(cleaned), "a cleaned text in UTF-8");
  expect(cleaned.find("  ") == std::string::npos && cleaned.find('\n') == std::string::npos, "single blanks");
  expect(is_utf8(lower_case(input)), "lower case in UTF-8");
  const std::u32string codes = unicode::decode_all(input);
  expect(is_utf8(unicode::encode_all(unescape_html(codes))), "references in UTF-8");
  const std::string plain = plain_words(input);
  expect(std::ranges::all_of(plain, [](char c) { return c == ' ' || c == '\'' || c == '-' || (c >= 'a' && c <= 'z'); }),
         "letters and single blanks");
  (void)with_article(plain);
  (void)plural(plain);
}

TESSERA_FUZZ(tokenizer) {
  constexpr size_t kContext = 16;
  static const Tokenizer whole(small_vocabulary(), kContext, Truncation::keep_eot);
  static const Tokenizer cut(small_vocabulary(), kContext, Truncation::cut);
  check_words(whole, input);
  const std::vector<int32_t> ids = whole.encode(input);
  for (const Tokenizer* tokenizer : {&whole, &cut}) {
    std::array<int32_t, kContext> row{};
    const bool truncated = tokenizer->encode_padded(input, row);
    const Vocabulary& vocabulary = tokenizer->vocabulary();
    expect(truncated == (ids.size() + 2 > kContext), "a report of what was cut");
    expect(row[0] == vocabulary.sot(), "the start first");
    if (!truncated) expect(row[ids.size() + 1] == vocabulary.eot(), "the end behind the ids");
    if (truncated && tokenizer == &whole) expect(row.back() == vocabulary.eot(), "the end in a cut row");
    expect(std::ranges::equal(row.begin() + 1,
                              row.begin() + 1 + static_cast<ptrdiff_t>(std::min(ids.size(), kContext - 2)), ids.begin(),
                              ids.begin() + static_cast<ptrdiff_t>(std::min(ids.size(), kContext - 2))),
           "the ids in the row");
  }
}

TESSERA_FUZZ(vocabulary) {
  const auto read = std::make_shared<const Vocabulary>(Vocabulary::load(file("vocabulary.txt", input)));
  const auto copy = file("copy.txt", "");
  read->save(copy);
  expect(Vocabulary::load(copy).digest() == read->digest(), "a vocabulary that is read as it was written");
  check_words(Tokenizer(read, 8, Truncation::cut), "a dog's ball &amp; 12 d\xc3\xb6gs");
}

TESSERA_FUZZ(learn_vocabulary) {
  const int64_t size = 515 + take_choice(input);
  const auto made = std::make_shared<const Vocabulary>(learned(input, size));
  expect(made->size() <= size, "at most the size that was asked for");
  check_words(Tokenizer(made, 8, Truncation::cut), input);
}

}  // namespace
}  // namespace tessera::fuzz
