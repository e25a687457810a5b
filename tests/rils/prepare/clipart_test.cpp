#include "rils/prepare/clipart.h"

#include <gtest/gtest.h>

#include <fstream>

#include "engine/core/error.h"
#include "tests/rils/data/test_files.h"
#include "tests/rils/prepare/synthetic.h"

namespace tessera::rils {
namespace {

constexpr const char* kSvg = R"(<svg><title>not this</title><metadata><rdf:RDF><cc:Work rdf:about="">
<!-- <dc:title>nor this</dc:title> -->
<dc:creator><cc:Agent><dc:title>A. Creator</dc:title></cc:Agent></dc:creator>
<dc:title> Tom &amp; Jerry&#39;s &#x41;pple </dc:title>
<dc:subject><rdf:Bag><rdf:li>fruit</rdf:li><rdf:li></rdf:li><rdf:li>red</rdf:li></rdf:Bag></dc:subject>
<dc:publisher><cc:Agent rdf:about="x"><dc:title>A Publisher</dc:title></cc:Agent></dc:publisher>
</cc:Work></rdf:RDF></metadata><rdf:li>outside</rdf:li></svg>)";

TEST(SvgMetadata, TheWorksOwnTitleAndKeywords) {
  const auto m = parse_svg_metadata(kSvg);
  EXPECT_EQ(m.title, "Tom & Jerry's Apple");
  EXPECT_EQ(m.keywords, (std::vector<std::string>{"fruit", "red"}));
}

TEST(SvgMetadata, EveryCutIsHarmless) {
  const std::string svg = kSvg;
  for (size_t n = 0; n <= svg.size(); ++n) {
    const auto m = parse_svg_metadata(std::string_view(svg).substr(0, n));
    EXPECT_LE(m.keywords.size(), 2u);
    EXPECT_EQ(m.title.find("Creator"), std::string::npos);
  }
  EXPECT_EQ(parse_svg_metadata("").title, "");
  EXPECT_EQ(parse_svg_metadata("<cc:Work><dc:title>a&bogus;b&#999999999;c&").title, "a b&#999999999;c&");
  EXPECT_EQ(parse_svg_metadata("<cc:Work></cc:Agent><dc:title>fine</dc:title></cc:Work>").title, "fine");
}

TEST(PictureWordsTest, SeriesTitlesAndAuthorsAreDropped) {
  EXPECT_EQ(picture_words("a/b/ant.svg", {"Etiquette Icons", {}}).title, "");
  EXPECT_EQ(picture_words("a/b/ant.svg", {"Etiquette Icons", {}}).file, "ant");
  EXPECT_EQ(picture_words("f/apple.svg", {"Clipart by Nicu Buculei - pear", {}}).title, "");
  const auto words = picture_words("f/wooden_table_benji_park_01.svg", {"Wooden Table", {}});
  EXPECT_EQ(words.title, "wooden table");
  EXPECT_EQ(words.file, "wooden table");
}

TEST(IsUnwanted, BitmapsThemesAndOutlines) {
  EXPECT_FALSE(is_unwanted("animals/dog.svg", {"Dog", {"pet"}}));
  EXPECT_TRUE(is_unwanted("animals/dog.svg", {"Dog", {"magick"}}));
  EXPECT_TRUE(is_unwanted("animals/dog.svg", {"Dog", {"theme"}}));
  EXPECT_TRUE(is_unwanted("special/dog.svg", {"Dog", {}}));
  EXPECT_TRUE(is_unwanted("animals/lemon_theme_icon_dog.svg", {"Dog", {}}));
  EXPECT_TRUE(is_unwanted("food/pie_bw.svg", {"Pie (B and W)", {}}));
  EXPECT_TRUE(is_unwanted("animals/dog.svg", {"Cat and dog", {}}));
  EXPECT_TRUE(is_unwanted("animals/contour_dog.svg", {"Dog", {}}));
  EXPECT_FALSE(is_unwanted("signs_and_symbols/clocks/clock.svg", {"Clock", {}}))
      << "a folder's name is no word of the title";
}

TEST(FindClipart, ByTableSortedByPath) {
  const test::TemporaryFolder folder;
  const auto write = [&](const std::string& name, const std::string& title) {
    std::filesystem::create_directories((folder.path() / name).parent_path());
    std::ofstream(folder.path() / name) << "<svg><cc:Work><dc:title>" << title << "</dc:title></cc:Work></svg>";
  };
  write("animals/z.svg", "Small Dog");
  write("animals/a.svg", "Big Dog");
  write("animals/a.txt", "Dog");
  write("tools/b.svg", "Dog");
  write("special/c.svg", "Dog");
  const auto table = ConceptTable::parse("animal : animals, special\n  dog\n");
  const auto files = find_clipart(folder.path(), table);
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].relative_path, "animals/a.svg");
  EXPECT_EQ(files[1].relative_path, "animals/z.svg");
  EXPECT_THROW((void)find_clipart(folder.path() / "none", table), IoError);
}

}  // namespace
}  // namespace tessera::rils
