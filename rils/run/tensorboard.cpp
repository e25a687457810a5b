#include "rils/run/tensorboard.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>

#include "engine/core/error.h"

namespace tessera::rils {
namespace {

static_assert(std::endian::native == std::endian::little, "event files are little-endian");

/// The wire format of protocol buffers, with the four field types that an event needs.
class Message {
 public:
  Message& varint(uint32_t field, uint64_t value) {
    raw_varint(field << 3U);
    raw_varint(value);
    return *this;
  }
  Message& fixed(uint32_t field, double value) { return fixed_bytes(field << 3U | 1U, value); }
  Message& fixed(uint32_t field, float value) { return fixed_bytes(field << 3U | 5U, value); }
  Message& bytes(uint32_t field, std::string_view value) {
    raw_varint(field << 3U | 2U);
    raw_varint(value.size());
    data_ += value;
    return *this;
  }
  [[nodiscard]] const std::string& data() const { return data_; }

 private:
  void raw_varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7U) data_ += static_cast<char>(value | 0x80U);
    data_ += static_cast<char>(value);
  }
  template <class T>
  Message& fixed_bytes(uint32_t tag, T value) {
    raw_varint(tag);
    std::array<char, sizeof(T)> raw{};
    std::memcpy(raw.data(), &value, sizeof value);
    data_.append(raw.data(), raw.size());
    return *this;
  }
  std::string data_;
};

// Field numbers of event.proto and summary.proto.
constexpr uint32_t kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5;
constexpr uint32_t kValue = 1, kTag = 1, kSimpleValue = 2, kImage = 4, kTensor = 8, kMetadata = 9;
// Field numbers and values of Summary.Image, tensor.proto and SummaryMetadata.
constexpr uint32_t kHeight = 1, kWidth = 2, kColours = 3, kEncoded = 4;
constexpr uint32_t kType = 1, kShape = 2, kStringValue = 8;
constexpr uint32_t kPluginData = 1, kPluginName = 1;
constexpr uint64_t kRgb = 3, kString = 7;

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

template <class T>
void append_raw(std::string& out, T value) {
  std::array<char, sizeof(T)> raw{};
  std::memcpy(raw.data(), &value, sizeof value);
  out.append(raw.data(), raw.size());
}

/// TFRecord's masked checksum: rotated, plus a constant. The mask keeps checksums of data with checksums reliable.
uint32_t masked_crc(std::string_view text) {
  const uint32_t crc = crc32c(std::as_bytes(std::span(text.data(), text.size())));
  return std::rotr(crc, 15) + 0xa282ead8U;
}

std::optional<double> number(const Record::Figure& figure) {
  if (const auto* v = std::get_if<int64_t>(&figure)) return static_cast<double>(*v);
  if (const auto* v = std::get_if<double>(&figure); v != nullptr && std::isfinite(*v)) return *v;
  return std::nullopt;
}

}  // namespace

uint32_t crc32c(std::span<const std::byte> bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> t{};
    for (uint32_t i = 0; i < t.size(); ++i) {
      uint32_t crc = i;
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0x82f63b78U : 0U);
      t[i] = crc;
    }
    return t;
  }();
  uint32_t crc = ~0U;
  for (const std::byte b : bytes) crc = (crc >> 8U) ^ table[(crc ^ static_cast<uint32_t>(b)) & 0xffU];
  return ~crc;
}

TensorboardWriter::TensorboardWriter(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw IoError(fmt::format("{}: cannot create the folder: {}", folder.string(), error.message()));
  path_ = folder / fmt::format("events.out.tfevents.{:.0f}.{}.{}", wall_time(), host_name(), ::getpid());
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw IoError(fmt::format("{}: cannot open: {}", path_.string(), std::strerror(errno)));
  write_event(Message().fixed(kWallTime, wall_time()).bytes(kFileVersion, "brain.Event:2").data());
}

TensorboardWriter::~TensorboardWriter() { ::close(descriptor_); }

void TensorboardWriter::write(std::string_view prefix, int64_t step, const Record& record) {
  Message summary;
  for (const auto& [name, figure] : record.figures()) {
    const auto value = number(figure);
    if (!value || name == "step") continue;
    summary.bytes(kValue, Message()
                              .bytes(kTag, fmt::format("{}/{}", prefix, name))
                              .fixed(kSimpleValue, static_cast<float>(*value))
                              .data());
  }
  write_summary(step, summary.data());
}

void TensorboardWriter::write_picture(std::string_view tag, int64_t step, std::string_view png) {
  constexpr size_t kHeader = 24;  // the signature, then length, name, width and height of the first chunk
  if (png.size() < kHeader || !png.starts_with("\x89PNG")) {
    throw IoError(fmt::format("{}: expected a PNG picture for {}", path_.string(), tag));
  }
  const auto number_at = [&](size_t at) {
    uint64_t value = 0;
    for (size_t i = 0; i < 4; ++i) value = value << 8U | static_cast<unsigned char>(png[at + i]);
    return value;
  };
  Message image;
  image.varint(kHeight, number_at(20)).varint(kWidth, number_at(16)).varint(kColours, kRgb).bytes(kEncoded, png);
  write_summary(step, Message().bytes(kValue, Message().bytes(kTag, tag).bytes(kImage, image.data()).data()).data());
}

void TensorboardWriter::write_text(std::string_view tag, int64_t step, std::string_view text) {
  Message tensor, metadata;
  tensor.varint(kType, kString).bytes(kShape, "").bytes(kStringValue, text);
  metadata.bytes(kPluginData, Message().bytes(kPluginName, "text").data());
  Message value;
  value.bytes(kTag, tag).bytes(kTensor, tensor.data()).bytes(kMetadata, metadata.data());
  write_summary(step, Message().bytes(kValue, value.data()).data());
}

void TensorboardWriter::write_summary(int64_t step, const std::string& summary) {
  write_event(Message()
                  .fixed(kWallTime, wall_time())
                  .varint(kStep, static_cast<uint64_t>(step))
                  .bytes(kSummary, summary)
                  .data());
}

void TensorboardWriter::write_event(std::string_view event) {
  std::string frame;
  append_raw(frame, static_cast<uint64_t>(event.size()));
  append_raw(frame, masked_crc(frame));
  frame += event;
  append_raw(frame, masked_crc(event));
  if (::write(descriptor_, frame.data(), frame.size()) != static_cast<ssize_t>(frame.size())) {
    throw IoError(fmt::format("{}: cannot write: {}", path_.string(), std::strerror(errno)));
  }
}

}  // namespace tessera::rils
