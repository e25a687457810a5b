#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/error.h"

namespace tessera::rils {

/// How a picture is resized that has not been converted to RGB. The names say what Pillow does in the mode of the file.
enum class PixelMode : uint8_t {
  plain,    // as it is
  nearest,  // the nearest pixel, for palettes and 1 bit: a mean of two entries is no colour of the file
  alpha,    // four channels: colours are multiplied by alpha before, and divided by it afterwards
  cmyk      // four channels of ink
};

/// An 8-bit picture, rows from the top, interleaved: pixel (x, y) is at (y·width + x)·channels. Three channels (red,
/// green, blue) unless a function says otherwise.
struct Image {
  int width = 0;
  int height = 0;
  int channels = 3;
  PixelMode mode = PixelMode::plain;
  std::vector<uint8_t> pixels;

  Image() = default;
  Image(int w, int h, int c = 3)
      : width(w),
        height(h),
        channels(c),
        pixels(static_cast<size_t>(w) * static_cast<size_t>(h) * static_cast<size_t>(c)) {}

  [[nodiscard]] size_t row_bytes() const { return static_cast<size_t>(width) * static_cast<size_t>(channels); }
  [[nodiscard]] uint8_t* row(int y) { return pixels.data() + row_bytes() * static_cast<size_t>(y); }
  [[nodiscard]] uint8_t* pixel(int x, int y) { return row(y) + static_cast<ptrdiff_t>(x) * channels; }
  [[nodiscard]] const uint8_t* pixel(int x, int y) const { return row(y) + static_cast<ptrdiff_t>(x) * channels; }
  [[nodiscard]] const uint8_t* row(int y) const { return pixels.data() + row_bytes() * static_cast<size_t>(y); }
};

/// A sample cannot be used. It is skipped and counted under `reason`, a short fixed phrase ("broken image"); the
/// message says what exactly is wrong with this sample.
class SampleError : public IoError {
 public:
  SampleError(std::string reason, const std::string& detail) : IoError(detail), reason_(std::move(reason)) {}
  [[nodiscard]] const std::string& reason() const { return reason_; }

 private:
  std::string reason_;
};

/// The reasons that the data code gives.
namespace skip {
inline constexpr const char* kNoImage = "no image";
inline constexpr const char* kNoCaption = "no caption";
inline constexpr const char* kEmptyCaption = "empty caption";
inline constexpr const char* kLongCaption = "caption too long";
inline constexpr const char* kBadEncoding = "text not UTF-8";
inline constexpr const char* kApart = "members apart";
inline constexpr const char* kDottedName = "name with dots";
inline constexpr const char* kNoLabel = "no label";
inline constexpr const char* kBadLabel = "bad label";
inline constexpr const char* kBadMetadata = "bad metadata";
inline constexpr const char* kBadRow = "bad row";
inline constexpr const char* kMissingFile = "missing file";
inline constexpr const char* kUnreadable = "unreadable file";
inline constexpr const char* kCutShard = "shard cut short";
inline constexpr const char* kCorruptShard = "corrupt shard";
inline constexpr const char* kNotAnImage = "not an image";
inline constexpr const char* kNotAFile = "not a regular file";
inline constexpr const char* kHiddenFile = "hidden file";
inline constexpr const char* kFolderAgain = "folder met before";
inline constexpr const char* kSameName = "second image of a name";
inline constexpr const char* kBrokenImage = "broken image";
inline constexpr const char* kUnknownFormat = "unknown image format";
inline constexpr const char* kTooManyPixels = "too many pixels";
inline constexpr const char* kTooThin = "too thin";
}  // namespace skip

}  // namespace tessera::rils
