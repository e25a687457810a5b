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

/// A drawing of shapes, text and pictures, one self-contained SVG. Coordinates are pixels from the top left.
class Svg {
 public:
  Svg(double width, double height) : width_(width), height_(height) {}
  [[nodiscard]] double width() const { return width_; }
  [[nodiscard]] double height() const { return height_; }

  /// A picture, embedded as PNG and scaled into the box.
  void image(const Image& image, double x, double y, double width, double height);
  /// One line whose baseline is at y. Bytes that are no text of XML are left out.
  void text(double x, double y, std::string_view text, const TextStyle& style = {});
  /// Lines of at most `columns` characters, broken at blanks, the last one cut at `most` lines; the number of lines.
  int paragraph(double x, double y, std::string_view text, int columns, int most, const TextStyle& style = {});
  void rect(double x, double y, double width, double height, std::string_view fill, double opacity = 1,
            std::string_view stroke = "none", double stroke_width = 1);
  void line(double x0, double y0, double x1, double y1, std::string_view stroke, double width = 1);
  void polyline(const std::vector<std::pair<double, double>>& points, std::string_view stroke, double width = 1.5,
                bool dashed = false);

  /// Another drawing in a box of its own proportions, `width` wide; the height that it takes.
  double place(const Svg& drawing, double x, double y, double width);

  /// The whole drawing on a white ground.
  [[nodiscard]] std::string str() const;

 private:
  double width_, height_;
  std::string body_;
};

/// The bytes as base64.
[[nodiscard]] std::string base64(std::string_view bytes);
/// With &, <, >, " as entities and without control characters.
[[nodiscard]] std::string escape_xml(std::string_view text);

/// Writes a drawing whole or not at all, as .svg, or as .png through rsvg-convert. Throws ConfigError for another
/// ending, IoError when it cannot be written or the converter is missing.
void write_drawing(const std::filesystem::path& path, const Svg& drawing);

/// A written .svg as the bytes of a PNG, through rsvg-convert; nothing where that is missing.
[[nodiscard]] std::optional<std::string> picture_bytes(const std::filesystem::path& svg);

/// Eight colours that people with any colour vision tell apart (Okabe and Ito); repeated from the ninth on.
[[nodiscard]] std::string_view series_colour(size_t index);

}  // namespace tessera::rils
