#include "rils/picture/svg.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/data/encode.h"
#include "rils/text/unicode.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 8> kColours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                      "#e69f00", "#56b4e9", "#000000", "#999933"};

/// Runs rsvg-convert on a file. Returns whether it succeeded.
bool convert(const fs::path& from, const fs::path& to) {
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    ::execlp("rsvg-convert", "rsvg-convert", "-o", to.c_str(), from.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string result;
  result.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) group = group << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    for (size_t j = 0; j < 4; ++j) result.push_back(j <= count ? kDigits[group >> (18 - 6 * j) & 63] : '=');
  }
  return result;
}

std::string escape_xml(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const unicode::Decoded d = unicode::decode(text);
    text.remove_prefix(d.bytes);
    switch (d.code) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        // XML has no control characters, and not these two.
        if (d.code >= 0x20 && d.code != 0xfffe && d.code != 0xffff) unicode::append(result, d.code);
    }
  }
  return result;
}

void Svg::image(const Image& image, double x, double y, double width, double height) {
  const std::vector<std::byte> png = encode_png(image);
  body_ += fmt::format(
      "<image x=\"{:g}\" y=\"{:g}\" width=\"{:g}\" height=\"{:g}\" preserveAspectRatio=\"none\" "
      "href=\"data:image/png;base64,{}\"/>\n",
      x, y, width, height, base64({reinterpret_cast<const char*>(png.data()), png.size()}));
}

void Svg::text(double x, double y, std::string_view text, const TextStyle& style) {
  body_ +=
      fmt::format("<text x=\"{:g}\" y=\"{:g}\" font-size=\"{:g}\" fill=\"{}\" text-anchor=\"{}\"{}>{}</text>\n", x, y,
                  style.size, style.fill, style.anchor, style.bold ? " font-weight=\"bold\"" : "", escape_xml(text));
}

int Svg::paragraph(double x, double y, std::string_view text, int columns, int most, const TextStyle& style) {
  const auto width = static_cast<size_t>(std::max(columns, 1));
  int lines = 0;
  while (!text.empty() && lines < most) {
    size_t end = text.size();
    if (end > width) {
      end = text.rfind(' ', width);
      if (end == std::string_view::npos || end == 0) {
        end = width;
        // A character of several bytes is not split.
        while (end > 1 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
      }
    }
    std::string line(text.substr(0, end));
    text.remove_prefix(end);
    while (text.starts_with(' ')) text.remove_prefix(1);
    if (lines + 1 == most && !text.empty()) line += " …";
    this->text(x, y + 1.25 * style.size * lines, line, style);
    ++lines;
  }
  return lines;
}

void Svg::rect(double x, double y, double width, double height, std::string_view fill, double opacity,
               std::string_view stroke, double stroke_width) {
  body_ += fmt::format(
      "<rect x=\"{:g}\" y=\"{:g}\" width=\"{:g}\" height=\"{:g}\" fill=\"{}\" fill-opacity=\"{:g}\" stroke=\"{}\" "
      "stroke-width=\"{:g}\"/>\n",
      x, y, width, height, fill, opacity, stroke, stroke_width);
}

void Svg::line(double x0, double y0, double x1, double y1, std::string_view stroke, double width) {
  body_ += fmt::format("<line x1=\"{:g}\" y1=\"{:g}\" x2=\"{:g}\" y2=\"{:g}\" stroke=\"{}\" stroke-width=\"{:g}\"/>\n",
                       x0, y0, x1, y1, stroke, width);
}

void Svg::polyline(const std::vector<std::pair<double, double>>& points, std::string_view stroke, double width,
                   bool dashed) {
  body_ += "<polyline fill=\"none\" points=\"";
  for (const auto& [x, y] : points) body_ += fmt::format("{:.2f},{:.2f} ", x, y);
  body_ += fmt::format("\" stroke=\"{}\" stroke-width=\"{:g}\" stroke-linejoin=\"round\"{}/>\n", stroke, width,
                       dashed ? " stroke-dasharray=\"4 3\"" : "");
}

double Svg::place(const Svg& drawing, double x, double y, double width) {
  const double height = width * drawing.height() / drawing.width();
  body_ +=
      fmt::format("<svg x=\"{:g}\" y=\"{:g}\" width=\"{:g}\" height=\"{:g}\" viewBox=\"0 0 {:g} {:g}\">\n{}</svg>\n", x,
                  y, width, height, drawing.width(), drawing.height(), drawing.body_);
  return height;
}

std::string Svg::str() const {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:g}\" height=\"{1:g}\" viewBox=\"0 0 {0:g} {1:g}\" "
      "font-family=\"DejaVu Sans, Verdana, sans-serif\">\n<rect width=\"{0:g}\" height=\"{1:g}\" fill=\"#ffffff\"/>\n"
      "{2}</svg>\n",
      width_, height_, body_);
}

void write_drawing(const fs::path& path, const Svg& drawing) {
  if (path.extension() == ".svg") {
    write_file_atomically(path, drawing.str());
    return;
  }
  if (path.extension() != ".png") {
    throw ConfigError(fmt::format("--out: expected a name that ends in .svg or .png, found {}", path.string()));
  }
  const fs::path source = path.string() + ".tmp.svg", made = path.string() + ".tmp.png";
  write_file_atomically(source, drawing.str());
  const bool converted = convert(source, made);
  std::error_code ignored;
  fs::remove(source, ignored);
  if (!converted) {
    fs::remove(made, ignored);
    throw IoError(
        fmt::format("{}: cannot convert: expected the program rsvg-convert (Debian package librsvg2-bin); an .svg "
                    "needs no conversion",
                    path.string()));
  }
  std::error_code error;
  fs::rename(made, path, error);
  if (error) throw IoError(fmt::format("{}: cannot rename: {}", path.string(), error.message()));
}

std::optional<std::string> picture_bytes(const fs::path& svg) {
  const fs::path made = svg.string() + ".tmp.png";
  const bool converted = convert(svg, made);
  std::optional<std::string> bytes;
  if (converted) bytes = read_file(made);
  std::error_code ignored;
  fs::remove(made, ignored);
  return bytes;
}

std::string_view series_colour(size_t index) { return kColours[index % kColours.size()]; }

}  // namespace tessera::rils
