#include "rils/text/english.h"

#include <gtest/gtest.h>

namespace tessera::rils {
namespace {

TEST(PlainWords, LowerCaseWithoutDigitsParenthesesAndSigns) {
  EXPECT_EQ(plain_words("Dog 01_Drawn (B and W)"), "dog drawn");
  EXPECT_EQ(plain_words("  T-Rex!  "), "t rex");
  EXPECT_EQ(plain_words("man\xe2\x80\x99s shoe"), "man's shoe");
  EXPECT_EQ(plain_words("((nested) still) out)side"), "out side");
}

TEST(PlainWords, AnyBytes) {
  std::string bytes;
  for (int i = 255; i >= 0; --i) bytes += static_cast<char>(i);
  for (const char c : plain_words(bytes)) EXPECT_TRUE((c >= 'a' && c <= 'z') || c == ' ' || c == '\'');
  EXPECT_EQ(plain_words(""), "");
  EXPECT_EQ(plain_words("\xe2\x80"), "");
}

TEST(Article, BySound) {
  EXPECT_EQ(with_article("dog"), "a dog");
  EXPECT_EQ(with_article("owl"), "an owl");
  EXPECT_EQ(with_article("hourglass"), "an hourglass");
  EXPECT_EQ(with_article("unicorn"), "a unicorn");
  EXPECT_EQ(with_article("umbrella"), "an umbrella");
}

TEST(Plural, OfTheHead) {
  EXPECT_EQ(plural("dog"), "dogs");
  EXPECT_EQ(plural("cherry"), "cherries");
  EXPECT_EQ(plural("toy"), "toys");
  EXPECT_EQ(plural("brush"), "brushes");
  EXPECT_EQ(plural("computer mouse"), "computer mice");
  EXPECT_EQ(plural("cup of tea"), "cups of tea");
  EXPECT_EQ(plural("piece of clothing"), "pieces of clothing");
  EXPECT_EQ(plural("person"), "people");
  EXPECT_EQ(plural("maple leaf"), "maple leaves");
  EXPECT_EQ(plural("deer"), "deer");
}

}  // namespace
}  // namespace tessera::rils
