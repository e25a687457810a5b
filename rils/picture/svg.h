#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rils/data/image.h"

namespace tessera::rils {

/// Text in a drawing.
struct TextStyle {
  double size = 12;  // pixels
  std::string_view fill = "#222222";
  std::string_view anchor = "start";  // or "middle", "end"
  bool bold = false;
};

/// A drawing of shapes, text and pictures: one self-contained SVG. Coordinates are pixels from the top left corner.
class Svg {
 public:
  Svg(double width, double height) : width_(width), height_(height) {}
  [[nodiscard]] double width() const { return width_; }
  [[nodiscard]] double height() const { return height_; }

  /// Embeds a picture as PNG, scaled into the box.
  void image(const Image& image, double x, double y, double width, double height);
  /// Writes one line with its baseline at y. Control characters are left out.
  void text(double x, double y, std::string_view text, const TextStyle& style = {});
  /// Writes lines of at most `columns` characters, broken at blanks, and cuts the text after `most` lines. Returns the
  /// number of lines.
  int paragraph(double x, double y, std::string_view text, int columns, int most, const TextStyle& style = {});
  void rect(double x, double y, double width, double height, std::string_view fill, double opacity = 1,
            std::string_view stroke = "none", double stroke_width = 1);
  void line(double x0, double y0, double x1, double y1, std::string_view stroke, double width = 1);
  void polyline(const std::vector<std::pair<double, double>>& points, std::string_view stroke, double width = 1.5,
                bool dashed = false);

  /// Places another drawing, scaled to `width`. Returns its height.
  double place(const Svg& drawing, double x, double y, double width);

  /// The whole drawing on a white background.
  [[nodiscard]] std::string str() const;

 private:
  double width_, height_;
  std::string body_;
};

/// Encodes bytes as base64.
[[nodiscard]] std::string base64(std::string_view bytes);
/// Replaces &, <, >, " by entities and bytes that are not UTF-8 by U+FFFD, and removes characters that XML does not
/// allow: any text gives well-formed XML.
[[nodiscard]] std::string escape_xml(std::string_view text);

/// Writes a drawing whole or not at all, as .svg, or as .png with rsvg-convert. Throws ConfigError for another
/// extension, IoError when the file cannot be written or the converter is missing.
void write_drawing(const std::filesystem::path& path, const Svg& drawing);

/// Converts an .svg file to the bytes of a PNG with rsvg-convert. Returns nothing when that program is missing.
[[nodiscard]] std::optional<std::string> picture_bytes(const std::filesystem::path& svg);

/// Eight colours that people with any colour vision can tell apart (Okabe and Ito); the ninth is the first again.
[[nodiscard]] std::string_view series_colour(size_t index);

}  // namespace tessera::rils
