#include "rils/text/clean.h"

#include <gtest/gtest.h>

#include <chrono>
#include <sstream>
#include <vector>

#include "engine/core/atomic_file.h"
#include "rils/text/fix_text.h"
#include "rils/text/html.h"
#include "rils/text/mojibake.h"
#include "rils/text/tokenizer.h"
#include "rils/text/unicode.h"

namespace tessera::rils {
namespace {

std::string fixed(std::string_view text) { return unicode::encode_all(fix_text(unicode::decode_all(text))); }
std::string unescaped(std::string_view text) { return unicode::encode_all(unescape_html(unicode::decode_all(text))); }

TEST(Clean, SqueezesAndLowersLikePython) {
  EXPECT_EQ(lower_case("ΟΔΟΣ Σ ΣΑ"), "οδος σ σα");
  EXPECT_EQ(lower_case("ΑΣ' ΑΣ'Α"), "ας' ασ'α");
  EXPECT_EQ(lower_case("ⅣΣ ⒶΣ 1Σ"), "ⅳς ⓐς 1σ");
  EXPECT_EQ(lower_case("İI"), "i\u0307i");
  EXPECT_EQ(clean_caption("  A\t\nB &amp;lt; “c” "), "a b < \"c\"");
}

TEST(Garbled, EveryPairIsJudgedAsByFtfy) {
  std::istringstream lines(read_file(std::string(TESSERA_SOURCE_DIR) + "/tests/golden/text/garbled.txt"));
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  std::vector<char32_t> characters;
  std::istringstream codes(line);
  for (uint32_t code = 0; codes >> std::hex >> code;) characters.push_back(code);
  ASSERT_GT(characters.size(), 400u);
  int garbled = 0;
  for (const char32_t first : characters) {
    ASSERT_TRUE(std::getline(lines, line));
    ASSERT_EQ(line.size(), (characters.size() + 3) / 4);
    for (size_t i = 0; i < characters.size(); ++i) {
      const int digit = std::stoi(line.substr(i / 4, 1), nullptr, 16);
      const bool expected = (digit >> (3 - i % 4) & 1) != 0;
      garbled += expected ? 1 : 0;
      EXPECT_EQ(looks_garbled(std::u32string{first, characters[i]}), expected)
          << std::hex << +first << " " << +characters[i];
    }
  }
  EXPECT_GT(garbled, 10000);
}

TEST(FixText, RepairsUtf8ReadAsSomethingElse) {
  EXPECT_EQ(fixed("schÃ¶n"), "schön");                            // Latin-1
  EXPECT_EQ(fixed("it’s â€œquotedâ€\u009d"), "it's \"quoted\"");  // Windows-1252 within sound text
  EXPECT_EQ(fixed("ÃƒÂ©tÃƒÂ©"), "été");                           // twice
  EXPECT_EQ(fixed("voilÃ  le travail"), "voilà le travail");      // the no-break space became a blank
  EXPECT_EQ(fixed("РїСЂРёРІРµС‚"), "привет");                     // Windows-1251
  EXPECT_EQ(fixed("├⌐t├⌐"), "été");                               // code page 437
  EXPECT_EQ(fixed("√© caf√©"), "é café");                         // Mac Roman
  EXPECT_EQ(fixed("í\u00a0½í¸\u0080"), "😀");                      // CESU-8
  EXPECT_EQ(fixed("Zażółć gęślą jaźń"), "Zażółć gęślą jaźń");     // sound
}

TEST(FixText, KeepsReferencesOfHtmlFromTheFirstTagOn) {
  EXPECT_EQ(fixed("&lt;p&gt;\n&eacute;"), "<p>\né");
  EXPECT_EQ(fixed("&eacute;\n<p>&eacute;\n&eacute;"), "é\n<p>&eacute;\n&eacute;");
  EXPECT_EQ(fixed("P&EACUTE;REZ &amp;amp;amp; &amp"), "PÉREZ & &amp");
}

TEST(Html, FollowsTheStandardsOddities) {
  EXPECT_EQ(unescaped("&notit; &notin; &ampx &AMP"), "¬it; ∉ &x &");  // the longest name that fits
  EXPECT_EQ(unescaped("&#x80;&#0;&#xd800;&#x110000;&#1;&#xfffe;"), "€\ufffd\ufffd\ufffd");
  EXPECT_EQ(unescaped("&#99999999999999999999;&#65&#X41"), "\ufffdAA");
  EXPECT_EQ(unescaped("&CounterClockwiseContourIntegral;&fjlig;"), "∳fj");
  EXPECT_EQ(unescaped("& &; &# &#x &#; &nosuch;"), "& &; &# &#x &#; &nosuch;");
}

TEST(Clean, HostileTextEndsSoon) {
  EXPECT_EQ(clean_caption(std::string(20000, '\x80')).size(), 60000u);
  std::string nested = "&";
  for (int i = 0; i < 2000; ++i) nested += "amp;";
  EXPECT_EQ(clean_caption(nested), "&");
  std::string garble = "é";
  for (int i = 0; i < 10; ++i) {
    std::string again;
    for (const char c : garble) unicode::append(again, static_cast<uint8_t>(c));
    garble = again;
  }
  EXPECT_EQ(clean_caption(garble), "é");
  EXPECT_EQ(clean_caption("\x1b[" + std::string(50000, ';')).size(), 50001u);
}

std::string repeated(std::string_view part, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += part;
  return text;
}

/// Inputs whose time grew by the square of their length: each would take minutes.
TEST(Clean, TimeIsLinearInTheLength) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_LT(clean_caption("&" + repeated("amp;", 250'000)).size(), 1'000'001u);
  EXPECT_EQ(clean_caption("&" + repeated("amp;", 40) + "\n" + repeated("&amp;amp;eacute;\n", 20'000)),
            "& " + repeated("é ", 19'999) + "é");
  // Marks in disorder, also those that a vowel sign of one character stands for.
  const std::string above = "\u0301", below = "\u0323", tibetan = "\u0f73";
  EXPECT_EQ(clean_caption("x" + repeated(above + below, 100'000)),
            "x" + below + repeated(below, 99'999) + repeated(above, 100'000));
  EXPECT_EQ(clean_caption("x" + repeated(tibetan, 100'000)).size(), 600'001u);
  // A few marks are put in order as a long run is.
  EXPECT_EQ(clean_caption("x" + repeated(above + below, 3)), "x" + repeated(below, 3) + repeated(above, 3));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

}  // namespace
}  // namespace tessera::rils
