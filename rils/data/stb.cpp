// BMP, GIF, PNM and TGA by stb_image.
#include <fmt/format.h>
#include <stb_image.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "rils/data/decode.h"

namespace tessera::rils::detail {
namespace {

/// Gives the library its bytes. It takes zeros for bytes that are missing and does not say so, therefore this notes
/// whether it wanted any beyond the end.
struct Source {
  std::span<const std::byte> left;
  bool short_of_bytes = false;

  static int read(void* user, char* out, int count) {
    constexpr int kBuffer = 128;  // asked for when its buffer is empty; fewer are fine then, but for none
    auto& s = *static_cast<Source*>(user);
    const auto n = std::min(static_cast<size_t>(count), s.left.size());
    if (n == 0 || (count != kBuffer && n < static_cast<size_t>(count))) s.short_of_bytes = true;
    std::memcpy(out, s.left.data(), n);
    s.left = s.left.subspan(n);
    return static_cast<int>(n);
  }
  static void skip(void* user, int count) {
    auto& s = *static_cast<Source*>(user);
    const auto n = static_cast<size_t>(std::max(count, 0));
    if (n > s.left.size()) s.short_of_bytes = true;
    s.left = s.left.subspan(std::min(n, s.left.size()));
  }
  static int at_end(void* user) { return static_cast<Source*>(user)->left.empty() ? 1 : 0; }
};

constexpr stbi_io_callbacks kCallbacks = {Source::read, Source::skip, Source::at_end};

}  // namespace

Image decode_by_stb(std::span<const std::byte> bytes, int64_t max_pixels, std::string_view format) {
  const auto broken = [&](const char* why) {
    throw SampleError(skip::kBrokenImage, fmt::format("{}: {}", format, why != nullptr ? why : "damaged"));
  };
  int width = 0, height = 0, channels = 0;
  Source header{bytes}, whole{bytes};
  if (stbi_info_from_callbacks(&kCallbacks, &header, &width, &height, &channels) == 0) broken(stbi_failure_reason());
  check_extent(width, height, max_pixels);
  const std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> pixels(
      stbi_load_from_callbacks(&kCallbacks, &whole, &width, &height, &channels, 3), stbi_image_free);
  if (!pixels) broken(stbi_failure_reason());
  if (whole.short_of_bytes) broken("the file is cut short");
  check_extent(width, height, max_pixels);
  Image image(width, height);
  std::copy_n(pixels.get(), image.pixels.size(), image.pixels.begin());
  return image;
}

}  // namespace tessera::rils::detail
