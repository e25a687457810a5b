#include "tests/rils/prepare/synthetic.h"

#include <fmt/format.h>

namespace tessera::rils::testing {

Image ellipse(int width, int height, uint8_t red, uint8_t green, uint8_t blue) {
  Image image(width, height, 4);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const double u = (2.0 * x + 1) / width - 1, v = (2.0 * y + 1) / height - 1;
      if (u * u + v * v > 1) continue;
      uint8_t* p = image.row(y) + 4 * x;
      p[0] = red, p[1] = green, p[2] = blue, p[3] = 255;
    }
  return image;
}

std::string synthetic_table(int groups, int nouns_per_group) {
  std::string text;
  for (int g = 0; g < groups; ++g) {
    text += fmt::format("group {} : folder{}\n", static_cast<char>('a' + g), g);
    for (int n = 0; n < nouns_per_group; ++n)
      text +=
          fmt::format("  {}thing {}{}\n", n == 0 ? "~" : "", static_cast<char>('a' + g), static_cast<char>('a' + n));
  }
  return text;
}

std::vector<Cutout> synthetic_cutouts(const ConceptTable& table, int pictures) {
  std::vector<Cutout> out;
  for (int c = 0; c < static_cast<int>(table.concepts().size()); ++c)
    for (int p = 0; p < pictures; ++p) {
      Cutout cutout;
      cutout.concept_index = c;
      cutout.source = "synthetic";
      cutout.source_name = fmt::format("{}/{}", c, p);
      cutout.image = ellipse(70 + (c * 7 + p * 13) % 58, 70 + (c * 11 + p * 5) % 58, static_cast<uint8_t>(c * 37),
                             static_cast<uint8_t>(c * 59 + p * 80), static_cast<uint8_t>(c * 83));
      cutout.colour = main_colour(cutout.image);
      out.push_back(std::move(cutout));
    }
  return out;
}

}  // namespace tessera::rils::testing
