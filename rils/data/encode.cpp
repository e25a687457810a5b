#include "rils/data/encode.h"

#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>

namespace tessera::rils {

void detail::check_encodable(const Image& image, std::string_view what, bool alpha_allowed) {
  const bool channels = image.channels == 1 || image.channels == 3 || (alpha_allowed && image.channels == 4);
  if (image.width < 1 || image.height < 1 || !channels)
    throw ShapeError(fmt::format("{}: cannot encode an image of {}x{} pixels with {} channels", what, image.width,
                                 image.height, image.channels));
}

namespace {

void append_big_endian(std::vector<std::byte>& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::byte>(value >> shift & 0xff));
}

void append_chunk(std::vector<std::byte>& out, std::string_view kind, std::span<const std::byte> body) {
  append_big_endian(out, static_cast<uint32_t>(body.size()));
  const size_t begin = out.size();
  for (const char c : kind) out.push_back(static_cast<std::byte>(c));
  out.insert(out.end(), body.begin(), body.end());
  append_big_endian(out, static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(out.data() + begin),
                                                     static_cast<uInt>(out.size() - begin))));
}

/// Filters each row with None, Sub or Up, whichever gives the smallest sum of absolute values.
std::vector<uint8_t> filtered_rows(const Image& image) {
  const size_t n = image.row_bytes(), step = static_cast<size_t>(image.channels);
  std::vector<uint8_t> out;
  out.reserve((n + 1) * static_cast<size_t>(image.height));
  std::array<std::vector<uint8_t>, 3> tries;
  const std::vector<uint8_t> zeros(n);
  for (int y = 0; y < image.height; ++y) {
    const uint8_t* row = image.row(y);
    const uint8_t* above = y > 0 ? image.row(y - 1) : zeros.data();
    size_t best = 0;
    int64_t best_sum = -1;
    for (size_t filter = 0; filter < tries.size(); ++filter) {
      tries[filter].resize(n);
      int64_t sum = 0;
      for (size_t i = 0; i < n; ++i) {
        const int predicted = filter == 0 ? 0 : filter == 1 ? (i >= step ? row[i - step] : 0) : above[i];
        tries[filter][i] = static_cast<uint8_t>(row[i] - predicted);
        sum += std::abs(static_cast<int8_t>(tries[filter][i]));
      }
      if (best_sum < 0 || sum < best_sum) best = filter, best_sum = sum;
    }
    out.push_back(static_cast<uint8_t>(best));
    out.insert(out.end(), tries[best].begin(), tries[best].end());
  }
  return out;
}

}  // namespace

std::vector<std::byte> encode_png(const Image& image) {
  detail::check_encodable(image, "encode_png", true);
  const std::vector<uint8_t> raw = filtered_rows(image);
  uLongf packed_size = compressBound(static_cast<uLong>(raw.size()));
  std::vector<std::byte> packed(packed_size);
  if (compress2(reinterpret_cast<Bytef*>(packed.data()), &packed_size, raw.data(), static_cast<uLong>(raw.size()), 6) !=
      Z_OK)
    throw OutOfMemoryError("encode_png: zlib has no memory");
  packed.resize(packed_size);

  std::vector<std::byte> out;
  for (const char c : std::string_view("\x89PNG\r\n\x1a\n")) out.push_back(static_cast<std::byte>(c));
  std::vector<std::byte> header;
  append_big_endian(header, static_cast<uint32_t>(image.width));
  append_big_endian(header, static_cast<uint32_t>(image.height));
  const int colour = image.channels == 1 ? 0 : image.channels == 3 ? 2 : 6;
  for (const int value : {8, colour, 0, 0, 0}) header.push_back(static_cast<std::byte>(value));
  append_chunk(out, "IHDR", header);
  append_chunk(out, "IDAT", packed);
  append_chunk(out, "IEND", {});
  return out;
}

}  // namespace tessera::rils
