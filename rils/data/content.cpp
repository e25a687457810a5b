#include <array>
#include <cstring>

#include "rils/data/decode.h"
#include "rils/text/ascii.h"

namespace tessera::rils {
namespace {

struct Magic {
  size_t offset;
  std::string_view bytes, name;
};

using namespace std::string_view_literals;

constexpr std::array<Magic, 31> kMagics = {{{0, "GIF8"sv, "GIF"},
                                            {0, "BM"sv, "BMP"},
                                            {0, "II*\0"sv, "TIFF"},
                                            {0, "MM\0*"sv, "TIFF"},
                                            {4, "ftypavif"sv, "AVIF"},
                                            {4, "ftypavis"sv, "AVIF"},
                                            {4, "ftyphe"sv, "HEIC"},
                                            {4, "ftypmif1"sv, "HEIC"},
                                            {4, "ftyp"sv, "a video (MP4)"},
                                            {0, "\0\0\0\x0cjP  "sv, "JPEG 2000"},
                                            {0, "\xff\x4f\xff\x51"sv, "JPEG 2000"},
                                            {0, "\xff\x0a"sv, "JPEG XL"},
                                            {0, "\0\0\0\x0cJXL "sv, "JPEG XL"},
                                            {0, "8BPS"sv, "Photoshop"},
                                            {0, "\0\0\1\0"sv, "ICO"},
                                            {0, "\x76\x2f\x31\x01"sv, "OpenEXR"},
                                            {0, "P1"sv, "PBM"},
                                            {0, "P2"sv, "PGM"},
                                            {0, "P3"sv, "PPM"},
                                            {0, "P4"sv, "PBM"},
                                            {0, "P5"sv, "PGM"},
                                            {0, "P6"sv, "PPM"},
                                            {0, "%PDF"sv, "PDF"},
                                            {0, "PK\3\4"sv, "a ZIP archive"},
                                            {0, "\x1f\x8b"sv, "a gzip file"},
                                            {0, "version https://git-lfs"sv, "a Git LFS pointer"},
                                            {0, "<!doctype html"sv, "an HTML page"},
                                            {0, "<html"sv, "an HTML page"},
                                            {0, "<svg"sv, "SVG"},
                                            {0, "<?xml"sv, "XML or SVG"},
                                            {0, "{"sv, "JSON"}}};

}  // namespace

std::string_view describe_content(std::span<const std::byte> bytes) {
  constexpr size_t kHead = 64;
  const std::string_view whole(reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), kHead));
  const std::string text = lower_ascii(trim(whole));  // a page of text may begin with blanks or in capitals
  for (const Magic& m : kMagics) {
    const bool is_text = m.name == "an HTML page" || m.name == "SVG" || m.name == "XML or SVG";
    const std::string_view from = is_text ? std::string_view(text) : whole;
    if (from.size() >= m.offset && from.substr(m.offset).starts_with(m.bytes)) return m.name;
  }
  return "";
}

}  // namespace tessera::rils
