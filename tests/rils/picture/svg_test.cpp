#include "rils/picture/svg.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/core/error.h"
#include "rils/picture/chart.h"
#include "rils/picture/heat_map.h"

namespace tessera::rils {
namespace {

TEST(Base64, PadsAsRfc4648Says) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64(std::string("\xff\xfe\x00", 3)), "//4A");
}

TEST(Svg, EscapesWhatUsersType) {
  Svg svg(10, 10);
  svg.text(1, 2, "<b> & \"c\"\x01");
  const std::string text = svg.str();
  EXPECT_NE(text.find("&lt;b&gt; &amp; &quot;c&quot;</text>"), std::string::npos) << text;
  EXPECT_EQ(escape_xml("a\xff\xc3 \xed\xa0\x80\xef\xbf\xbf\x7f\n\xc3\xa9"),
            "a\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\x7f\xc3\xa9")
      << "bytes that are no UTF-8, a surrogate and U+FFFF";
}

TEST(Svg, BreaksLinesAtBlanksAndNeverWithinACharacter) {
  Svg svg(10, 10);
  EXPECT_EQ(svg.paragraph(0, 0, "one two three", 7, 9), 2);
  EXPECT_NE(svg.str().find(">one two</text>"), std::string::npos);
  Svg cut(10, 10);
  EXPECT_EQ(cut.paragraph(0, 0, "one two three four", 5, 2), 2);
  EXPECT_NE(cut.str().find(">two …</text>"), std::string::npos) << cut.str();
  Svg wide(10, 10);
  EXPECT_EQ(wide.paragraph(0, 0, "äöü", 3, 9), 3);
  EXPECT_NE(wide.str().find(">ö</text>"), std::string::npos) << wide.str();
}

TEST(Svg, PlacesADrawingInItsProportions) {
  Svg inner(200, 50), outer(500, 500);
  inner.rect(1, 2, 3, 4, "#123456");
  EXPECT_EQ(outer.place(inner, 10, 20, 400), 100);
  const std::string text = outer.str();
  EXPECT_NE(text.find("<svg x=\"10\" y=\"20\" width=\"400\" height=\"100\" viewBox=\"0 0 200 50\">\n<rect x=\"1\""),
            std::string::npos)
      << text;
}

TEST(Svg, OtherEndingsAreRefused) { EXPECT_THROW(write_drawing("picture.gif", Svg(1, 1)), ConfigError); }

TEST(Chart, TicksAreRoundAndCover) {
  EXPECT_EQ(axis_ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(axis_ticks(0.13, 0.42, 4), (std::vector<double>{0.2, 0.30000000000000004, 0.4}));
  EXPECT_EQ(axis_ticks(3, 3, 4), (std::vector<double>{3}));
  EXPECT_FALSE(std::signbit(axis_ticks(-1, 1, 4).at(2)));
}

TEST(Chart, HasFewTicksForAnyBounds) {
  const double most = std::numeric_limits<double>::max(), least = std::numeric_limits<double>::denorm_min();
  const double step = 0x1p53;  // from here on doubles are two apart
  for (const auto& [low, high] :
       {std::pair{step, step + 2}, std::pair{8e15, 8e15 + 1}, std::pair{-most, most}, std::pair{0.0, least},
        std::pair{-least, least}, std::pair{-0.0, 0.0}, std::pair{1.0, 1.0 + 0x1p-52}, std::pair{1e300, 1.0000001e300},
        std::pair{-1.0, 1e-300}, std::pair{0.0, std::numeric_limits<double>::min() * 30}}) {
    const std::vector<double> ticks = axis_ticks(low, high, 5);
    EXPECT_GE(ticks.size(), 1U) << low << ' ' << high;
    EXPECT_LE(ticks.size(), 7U) << low << ' ' << high;
    EXPECT_TRUE(std::ranges::is_sorted(ticks));
    for (const double tick : ticks) EXPECT_FALSE(tick == 0 && std::signbit(tick)) << low << ' ' << high;
  }
}

TEST(Chart, IsFiniteForAnyFigures) {
  const double most = std::numeric_limits<double>::max(), inf = std::numeric_limits<double>::infinity();
  using Points = std::vector<std::pair<double, double>>;
  const std::vector<Points> all = {{{1, 8e15}, {2, 8e15}},
                                   {{0x1p53, 3}, {0x1p53 + 2, 2}},
                                   {{0, -most}, {1, most}, {2, 1}, {3, 2}},
                                   {{NAN, 1}, {inf, 2}, {1, -inf}, {2, inf}, {3, NAN}, {4, 1}},
                                   {{5, -0.0}},
                                   {{5, 1}, {5, 1}},
                                   {{1, 1e300}, {1, 1e300}, {1, 1e300}, {2, -1e300}}};
  for (const Points& points : all) {
    for (const bool from_zero : {false, true}) {
      Svg svg(460, 240);
      draw_chart(svg, {"t", "s", {{"a", points, false}}, from_zero}, 0, 0, 460, 240);
      const std::string text = svg.str();
      EXPECT_LT(text.size(), 5000U);
      for (const char* word : {"nan", "inf", ">-0<"}) EXPECT_EQ(text.find(word), std::string::npos) << text;
    }
  }
}

TEST(Chart, TellsCloseTicksApart) {
  Svg svg(460, 240);
  draw_chart(svg, {"t", "s", {{"a", {{0x1p53, 3}, {0x1p53 + 2, 2}}, false}}, false}, 0, 0, 460, 240);
  EXPECT_NE(svg.str().find(">9007199254740992<"), std::string::npos) << svg.str();
  EXPECT_NE(svg.str().find(">9007199254740994<"), std::string::npos) << svg.str();
}

TEST(Chart, DrawsGapsForWhatIsNotFinite) {
  Svg svg(200, 100);
  draw_chart(svg, {"t", "step", {{"a", {{0, 1}, {1, 2}, {2, NAN}, {3, 1}, {4, 2}}, false}}, false, "nats"}, 0, 0, 200,
             100);
  const std::string text = svg.str();
  EXPECT_NE(text.find(">nats</text>"), std::string::npos);
  int lines = 0;
  for (size_t at = 0; (at = text.find("<polyline", at)) != std::string::npos; ++at) ++lines;
  EXPECT_EQ(lines, 3) << "two runs and the legend";
  Svg empty(200, 100);
  draw_chart(empty, {"t", "step", {{"a", {}, false}}, false}, 0, 0, 200, 100);
  EXPECT_NE(empty.str().find("no data yet"), std::string::npos);
}

TEST(HeatMap, IsBrightestOverTheLargestValue) {
  const Image grey(40, 40);
  const std::vector<float> values = {0, 0, 0, 1};
  const Image map = heat_overlay(grey, values, 2, 0, 1);
  const auto light = [&](int x, int y) { return map.pixel(x, y)[0] + map.pixel(x, y)[1] + map.pixel(x, y)[2]; };
  EXPECT_GT(light(35, 35), light(20, 20));
  EXPECT_GT(light(20, 20), light(4, 4));
  int last = -1;
  for (int i = 0; i <= 10; ++i) {
    const auto c = heat_colour(i / 10.0);
    const int now = 2126 * c[0] + 7152 * c[1] + 722 * c[2];
    EXPECT_GT(now, last) << "lightness grows at " << i;
    last = now;
  }
}

TEST(PaintedPatches, LeaveTheOthersAlone) {
  Image image(4, 4);
  for (uint8_t& p : image.pixels) p = 10;
  const Image out = painted_patches(image, std::vector<int32_t>{-1, 0xff8040, -1, -1}, 2, 1);
  EXPECT_EQ(out.pixel(0, 0)[0], 10);
  EXPECT_EQ(out.pixel(3, 1)[0], 0xff);
  EXPECT_EQ(out.pixel(2, 0)[1], 0x80);
  EXPECT_EQ(out.pixel(3, 1)[2], 0x40);
  EXPECT_EQ(out.pixel(3, 2)[0], 10);
}

}  // namespace
}  // namespace tessera::rils
