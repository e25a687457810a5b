#include "rils/text/encoding.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"

namespace tessera::rils {
namespace {

using namespace std::string_view_literals;
constexpr auto utf8 = TextEncoding::utf_8, latin = TextEncoding::windows_1252;

TEST(DecodeText, TakesTheFirstRuleThatFits) {
  for (const auto fallback : {utf8, latin}) {
    EXPECT_EQ(decode_text("grün €", fallback), "grün €");
    EXPECT_EQ(decode_text("\xef\xbb\xbfgrün", fallback), "grün");
    EXPECT_EQ(decode_text("\xff\xfe\xfc\0=\xd8\0\xde"sv, fallback), "ü😀");
    EXPECT_EQ(decode_text("\xfe\xff\0\xfc\xd8=\xde\0"sv, fallback), "ü😀");
    EXPECT_EQ(decode_text("", fallback), "");
    for (const auto half : {"\xff\xfe="sv, "\xff\xfe=\xd8"sv, "\xff\xfe=\xd8x\0"sv, "\xff\xfe\0\xde"sv})
      EXPECT_EQ(decode_text(half, fallback), std::nullopt);
    EXPECT_EQ(decode_text("a\0b\0"sv, fallback), std::nullopt);
  }
  EXPECT_EQ(decode_text("gr\xfcn \x80 \x93\x81", utf8), std::nullopt);
  EXPECT_EQ(decode_text("gr\xfcn \x80 \x93\x81", latin), "grün € “\u0081");
}

TEST(DecodeText, RefusesWhatIsOnlyNearlyUtf8) {
  for (const auto text : {"\xc0\xaf"sv, "\xed\xa0\x80"sv, "\xf4\x90\x80\x80"sv, "\xe2\x82"sv, "a\x80"sv}) {
    EXPECT_FALSE(is_utf8(text));
    EXPECT_EQ(decode_text(text, utf8), std::nullopt);
  }
  EXPECT_TRUE(is_utf8("a\u0080\uffff\U0010ffff"));
  EXPECT_EQ(parse_text_encoding("windows-1252"), latin);
  EXPECT_EQ(parse_text_encoding("utf-8"), utf8);
  EXPECT_THROW((void)parse_text_encoding("latin1"), ConfigError);
}

}  // namespace
}  // namespace tessera::rils
