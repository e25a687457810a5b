#include "rils/prepare/cutout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "rils/data/pixel_mode.h"
#include "tests/rils/prepare/synthetic.h"

namespace tessera::rils {
namespace {

using testing::ellipse;

Image on_page(const Image& thing, int size, int left, int top) {
  Image page(size, size, 4);
  for (int y = 0; y < thing.height; ++y) std::copy_n(thing.row(y), thing.row_bytes(), page.row(top + y) + 4 * left);
  return page;
}

TEST(CutOut, TrimsToWhatIsVisible) {
  std::string reason;
  const auto image = cut_out(on_page(ellipse(80, 60, 200, 10, 10), 128, 13, 40), reason);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->width, 80);
  EXPECT_EQ(image->height, 60);
  EXPECT_EQ(image->pixels, ellipse(80, 60, 200, 10, 10).pixels);
}

TEST(CutOut, SaysWhyNot) {
  const auto reason_for = [](const Image& image) {
    std::string reason;
    EXPECT_FALSE(cut_out(image, reason));
    return reason;
  };
  EXPECT_EQ(reason_for(Image(128, 128, 4)), "empty");
  EXPECT_EQ(reason_for(on_page(ellipse(30, 30, 9, 9, 9), 128, 3, 4)), "small on its page");
  EXPECT_EQ(reason_for(on_page(ellipse(120, 20, 9, 9, 9), 128, 3, 4)), "long and thin");
  Image full(100, 100, 4);
  std::ranges::fill(full.pixels, uint8_t{255});
  EXPECT_EQ(reason_for(full), "a full rectangle");
  Image cross(100, 100, 4);
  for (int i = 0; i < 100; ++i) cross.row(i)[4 * 50 + 3] = cross.row(50)[4 * i + 3] = 255;
  EXPECT_EQ(reason_for(cross), "lines without area");
}

TEST(Premultiply, Rounds) {
  Image image(1, 1, 4);
  image.pixels = {255, 128, 1, 128};
  premultiply(image);
  EXPECT_EQ(image.pixels, (std::vector<uint8_t>{128, 64, 1, 128}));
}

TEST(ResizeRgba, KeepsColourOfWhatIsOpaque) {
  const Image small = resize_rgba(ellipse(120, 90, 200, 100, 50), 30, 40);
  ASSERT_EQ(small.width, 40);
  ASSERT_EQ(small.height, 30);
  const uint8_t* centre = small.row(15) + 4 * 20;
  EXPECT_EQ(std::vector<uint8_t>(centre, centre + 4), (std::vector<uint8_t>{200, 100, 50, 255}));
  EXPECT_EQ(small.row(0)[3], 0);
  for (size_t i = 0; i < small.pixels.size(); i += 4)
    for (size_t c = 0; c < 3; ++c) EXPECT_LE(small.pixels[i + c], small.pixels[i + 3]) << "multiplied by alpha";
}

TEST(Colours, BasicOnes) {
  EXPECT_EQ(basic_colour(250, 250, 250), "white");
  EXPECT_EQ(basic_colour(10, 10, 10), "black");
  EXPECT_EQ(basic_colour(128, 128, 128), "gray");
  EXPECT_EQ(basic_colour(220, 30, 30), "red");
  EXPECT_EQ(basic_colour(250, 150, 30), "orange");
  EXPECT_EQ(basic_colour(120, 70, 30), "brown");
  EXPECT_EQ(basic_colour(250, 230, 40), "yellow");
  EXPECT_EQ(basic_colour(40, 180, 60), "green");
  EXPECT_EQ(basic_colour(40, 90, 220), "blue");
  EXPECT_EQ(basic_colour(130, 50, 200), "purple");
  EXPECT_EQ(basic_colour(250, 170, 190), "pink");
}

TEST(Colours, OfMostOfAPicture) {
  Image half = ellipse(60, 60, 220, 30, 30);
  EXPECT_EQ(main_colour(half), "red");
  for (int y = 0; y < 30; ++y)
    for (int x = 0; x < 60; ++x)
      if (half.row(y)[4 * x + 3] != 0) half.row(y)[4 * x] = 20, half.row(y)[4 * x + 1] = 200;
  EXPECT_EQ(main_colour(half), "") << "half red, half green";
  EXPECT_EQ(main_colour(Image(4, 4, 4)), "");
}

TEST(NearDuplicates, AreFoundAtAnySize) {
  const auto make = [](Image image) {
    Cutout c;
    c.image = std::move(image);
    return c;
  };
  std::vector<Cutout> cutouts;
  cutouts.push_back(make(ellipse(100, 80, 200, 30, 30)));
  cutouts.push_back(make(ellipse(100, 80, 30, 30, 200)));  // another colour
  cutouts.push_back(make(ellipse(60, 48, 202, 31, 29)));   // the first, smaller
  cutouts.push_back(make(ellipse(60, 100, 200, 30, 30)));  // another shape
  cutouts.push_back(make(ellipse(100, 80, 30, 30, 200)));  // the second again
  EXPECT_EQ(near_duplicates(cutouts), (std::vector<bool>{false, false, true, false, true}));
}

TEST(Split, DisjointCompleteAndByNameAlone) {
  const auto table = ConceptTable::parse(testing::synthetic_table(4, 20));
  auto cutouts = testing::synthetic_cutouts(table, 1);
  for (auto& c : testing::synthetic_cutouts(table, 5))
    if (c.concept_index < 40) cutouts.push_back(c);  // the first 40 things have six pictures, the others one
  for (size_t i = 80; i < cutouts.size(); ++i) cutouts[i].source_name += "b";
  const auto split = split_cutouts(cutouts, 3);
  std::set<int> all(split.train.begin(), split.train.end());
  all.insert(split.held_out.begin(), split.held_out.end());
  EXPECT_EQ(all.size(), cutouts.size());
  EXPECT_EQ(split.train.size() + split.held_out.size(), cutouts.size());
  std::vector<int> held(80);
  for (const int i : split.held_out) ++held[static_cast<size_t>(cutouts[static_cast<size_t>(i)].concept_index)];
  for (size_t c = 0; c < 40; ++c) EXPECT_EQ(held[c], 1) << "a quarter of six";
  const auto whole = std::count(held.begin() + 40, held.end(), 1);
  EXPECT_GT(whole, 0);
  EXPECT_LT(whole, 20);

  // The order of the list does not matter.
  std::vector<Cutout> reversed(cutouts.rbegin(), cutouts.rend());
  const auto again = split_cutouts(reversed, 3);
  std::set<std::string> a, b;
  for (const int i : split.held_out) a.insert(cutouts[static_cast<size_t>(i)].source_name);
  for (const int i : again.held_out) b.insert(reversed[static_cast<size_t>(i)].source_name);
  EXPECT_EQ(a, b);
  EXPECT_NE(split_cutouts(cutouts, 4).held_out, split.held_out);
}

}  // namespace
}  // namespace tessera::rils
