#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "rils/run/metrics.h"

namespace tessera::rils {

/// Writes scalars, pictures and texts in TensorBoard's event format: `Event` messages in TFRecord frames (length,
/// masked CRC-32C of the length, data, masked CRC-32C of the data). Each writer creates its own file,
/// events.out.tfevents.SECONDS.HOST.PID.
class TensorboardWriter {
 public:
  /// Creates the folder if it is missing. Throws IoError.
  explicit TensorboardWriter(const std::filesystem::path& folder);
  ~TensorboardWriter();
  TensorboardWriter(const TensorboardWriter&) = delete;
  TensorboardWriter& operator=(const TensorboardWriter&) = delete;

  /// Writes each finite figure except `step` as PREFIX/NAME. Throws IoError.
  void write(std::string_view prefix, int64_t step, const Record& record);
  /// Writes a picture, given as the bytes of a PNG file. Throws IoError for other bytes.
  void write_picture(std::string_view tag, int64_t step, std::string_view png);
  /// Writes a text in Markdown.
  void write_text(std::string_view tag, int64_t step, std::string_view text);

 private:
  void write_event(std::string_view event);
  void write_summary(int64_t step, const std::string& summary);
  std::filesystem::path path_;
  int descriptor_ = -1;
};

/// CRC-32C (Castagnoli).
[[nodiscard]] uint32_t crc32c(std::span<const std::byte> bytes);

}  // namespace tessera::rils
