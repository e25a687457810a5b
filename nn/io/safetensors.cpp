#include "nn/io/safetensors.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"

namespace tessera::nn {
namespace {

using Json = nlohmann::ordered_json;  // for writing
using Header = nlohmann::json;        // for reading: an ordered one searches all names for each

static_assert(std::endian::native == std::endian::little, "the format is little-endian");
constexpr size_t kMaxHeader = 100'000'000;  // the format's own limit

constexpr std::pair<DType, const char*> kTypeNames[] = {{DType::f32, "F32"}, {DType::bf16, "BF16"}, {DType::f64, "F64"},
                                                        {DType::i32, "I32"}, {DType::i64, "I64"},   {DType::u8, "U8"}};

std::optional<DType> dtype_of(const std::string& name) {
  for (const auto& [dtype, text] : kTypeNames) {
    if (name == text) return dtype;
  }
  return std::nullopt;
}

/// Converts IEEE 754 half-precision bits to f32, exactly. NaN keeps its payload.
float from_half(uint16_t bits) {
  const uint32_t sign = (bits & 0x8000u) << 16, exponent = (bits >> 10) & 0x1fu, fraction = bits & 0x3ffu;
  if (exponent == 0) return std::copysign(static_cast<float>(fraction) * 0x1p-24f, sign != 0 ? -1.0f : 1.0f);
  const uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

const char* text_of(DType dtype) {
  return std::ranges::find(kTypeNames, dtype, &std::pair<DType, const char*>::first)->second;
}

[[noreturn]] void malformed(const std::filesystem::path& path, const std::string& what) {
  throw IoError(fmt::format("{}: not a valid safetensors file: {}", path.string(), what));
}

/// Collects the names of the outermost object: a library drops repeated ones without a message.
struct NameCheck final : Header::json_sax_t {
  std::set<std::string> names;
  std::string repeated;
  int depth = 0;

  bool key(std::string& name) override {
    if (depth == 1 && !names.insert(name).second) repeated = name;
    return true;
  }
  bool start_object(size_t /*size*/) override { return ++depth <= kMaxDepth; }
  bool start_array(size_t /*size*/) override { return ++depth <= kMaxDepth; }
  bool end_object() override { return --depth >= 0; }
  bool end_array() override { return --depth >= 0; }
  bool null() override { return true; }
  bool boolean(bool /*value*/) override { return true; }
  bool number_integer(int64_t /*value*/) override { return true; }
  bool number_unsigned(uint64_t /*value*/) override { return true; }
  bool number_float(double /*value*/, const std::string& /*text*/) override { return true; }
  bool string(std::string& /*value*/) override { return true; }
  bool binary(Header::binary_t& /*value*/) override { return true; }
  bool parse_error(size_t /*at*/, const std::string& /*token*/, const Header::exception& /*e*/) override {
    return false;
  }

 private:
  static constexpr int kMaxDepth = 8;
};

/// Parses the header. Throws on repeated names. The library's own parser with a callback would take time that grows
/// with the square of the number of tensors.
Header parse_header(const std::filesystem::path& path, std::string_view text) {
  NameCheck check;
  if (!Header::sax_parse(text, &check)) malformed(path, "its header is not JSON");
  if (!check.repeated.empty()) malformed(path, fmt::format("tensor {} is there twice", check.repeated));
  Header header = Header::parse(text);
  if (!header.is_object()) malformed(path, "its header is not an object");
  return header;
}

SafetensorsFile::Info parse_info(const std::filesystem::path& path, const std::string& name, const Header& entry,
                                 size_t data_bytes) {
  const auto bad = [&](const char* what) { malformed(path, fmt::format("tensor {}: {}", name, what)); };
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") || !entry.contains("data_offsets")) {
    bad("expected dtype, shape and data_offsets");
  }
  const Header& type = entry["dtype"];
  const Header& shape = entry["shape"];
  const Header& offsets = entry["data_offsets"];
  if (!type.is_string() || !shape.is_array() || !offsets.is_array() || offsets.size() != 2) {
    bad("expected a string, an array and two offsets");
  }
  SafetensorsFile::Info info;
  info.half = type.get<std::string>() == "F16";
  const auto dtype = info.half ? DType::f32 : dtype_of(type.get<std::string>());
  if (!dtype) bad("its dtype is none of F32, F16, BF16, F64, I32, I64, U8");
  info.dtype = *dtype;
  if (shape.size() > static_cast<size_t>(kMaxRank)) bad("its rank is above 6");
  // The strides of a tensor without elements are the products of its other extents.
  size_t count = 1, strides = 1;
  for (const Header& extent : shape) {
    if (!extent.is_number_unsigned()) bad("an extent is not a number of 0 or more");
    const auto e = extent.get<uint64_t>();
    constexpr uint64_t kMost = uint64_t{1} << 48;
    if (e > kMost || __builtin_mul_overflow(strides, std::max<size_t>(e, 1), &strides) || strides > kMost) {
      bad("its shape is too large");
    }
    count *= e;
    info.shape.push_back(static_cast<int64_t>(e));
  }
  for (const Header& offset : offsets) {
    if (!offset.is_number_unsigned()) bad("an offset is not a number of 0 or more");
  }
  info.begin = offsets[0].get<size_t>();
  info.end = offsets[1].get<size_t>();
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, info.half ? size_t{2} : size_of(info.dtype), &bytes)) bad("its shape is too large");
  if (info.begin > info.end || info.end > data_bytes) bad("its data lie outside the file (cut short?)");
  if (info.end - info.begin != bytes) bad("its data do not have the size of its shape");
  return info;
}

/// Checks that the tensors cover the data without holes and overlaps, as the format requires.
void check_coverage(const std::filesystem::path& path, const std::map<std::string, SafetensorsFile::Info>& tensors,
                    size_t data_bytes) {
  std::vector<std::pair<size_t, size_t>> ranges;
  for (const auto& [name, info] : tensors) ranges.emplace_back(info.begin, info.end);
  std::ranges::sort(ranges);
  size_t at = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin != at) malformed(path, "its tensors overlap or leave holes");
    at = end;
  }
  if (at != data_bytes) malformed(path, fmt::format("{} bytes of data, expected {}", data_bytes, at));
}

constexpr const char* kChecksum = "tessera_checksum";  // of the metadata
constexpr std::string_view kChecksumKind = "crc32:";

/// The checksum of a file: over its data, then over what the header says of them, and the other metadata. How the
/// header is written as JSON does not count.
class Checksum {
 public:
  void add(std::span<const std::byte> bytes) {
    if (bytes.empty()) return;  // zlib would begin again
    value_ = ::crc32_z(value_, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  }
  /// A word with its length, so that what follows cannot be taken for a part of it.
  void add(std::string_view word) {
    const uint64_t size = word.size();
    add(std::as_bytes(std::span(&size, 1)));
    add(std::as_bytes(std::span(word.data(), word.size())));
  }
  void add(const std::string& name, const char* type, const Shape& shape, size_t begin) {
    add(name);
    add(type);
    add(to_string(shape));
    add(std::to_string(begin));
  }
  void add(const std::map<std::string, std::string>& metadata) {
    for (const auto& [key, value] : metadata) {
      if (key == kChecksum) continue;
      add(key);
      add(value);
    }
  }
  [[nodiscard]] std::string text() const { return fmt::format("{}{:08x}", kChecksumKind, value_); }

 private:
  uLong value_ = 0;
};

/// The place of each tensor in the data, in the given order.
std::vector<size_t> offsets_of(std::span<const NamedTensor> tensors) {
  std::vector<size_t> offsets;
  size_t offset = 0;
  for (const NamedTensor& t : tensors) {
    offsets.push_back(offset);
    offset += t.tensor.bytes();
  }
  return offsets;
}

std::span<const std::byte> bytes_of(const Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.pointer()), tensor.bytes()};
}

}  // namespace

struct SafetensorsFile::Mapping {
  const std::byte* data = nullptr;
  size_t bytes = 0;
  explicit Mapping(const std::filesystem::path& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe must not block
    if (descriptor < 0) throw IoError(fmt::format("{}: cannot open: {}", path.string(), std::strerror(errno)));
    struct stat status {};
    if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
      ::close(descriptor);
      throw IoError(fmt::format("{}: not a regular file", path.string()));
    }
    bytes = static_cast<size_t>(status.st_size);
    void* map = bytes > 0 ? ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, descriptor, 0) : nullptr;
    ::close(descriptor);
    if (map == MAP_FAILED) throw IoError(fmt::format("{}: cannot map: {}", path.string(), std::strerror(errno)));
    data = static_cast<const std::byte*>(map);
  }
  ~Mapping() {
    if (data != nullptr) ::munmap(const_cast<std::byte*>(data), bytes);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : path_(path), mapping_(std::make_shared<const Mapping>(path)) {
  if (mapping_->bytes < 8) malformed(path, fmt::format("{} bytes", mapping_->bytes));
  const std::string_view start(reinterpret_cast<const char*>(mapping_->data), std::min<size_t>(mapping_->bytes, 64));
  if (start.starts_with("version https://git-lfs")) {
    throw IoError(fmt::format("{}: a pointer of Git LFS, not the weights; git lfs pull fetches them", path.string()));
  }
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, mapping_->data, 8);
  if (header_bytes > kMaxHeader || header_bytes > mapping_->bytes - 8) {
    malformed(path, fmt::format("a header of {} bytes in a file of {}", header_bytes, mapping_->bytes));
  }
  data_offset_ = 8 + static_cast<size_t>(header_bytes);
  const size_t data_bytes = mapping_->bytes - data_offset_;
  const Header header =
      parse_header(path, {reinterpret_cast<const char*>(mapping_->data) + 8, static_cast<size_t>(header_bytes)});
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") {
      tensors_.emplace(name, parse_info(path, name, entry, data_bytes));
      continue;
    }
    if (!entry.is_object()) malformed(path, "its metadata are not an object");
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) malformed(path, fmt::format("metadata {}: expected a string", key));
      metadata_.emplace(key, value.get<std::string>());
    }
  }
  check_coverage(path, tensors_, data_bytes);
}

int64_t SafetensorsFile::elements() const {
  int64_t elements = 0;
  for (const auto& [name, info] : tensors_) elements += info.shape.numel();
  return elements;
}

Tensor SafetensorsFile::load(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) throw IoError(fmt::format("{}: no tensor {}", path_.string(), name));
  const Info& info = it->second;
  Tensor tensor = Tensor::empty(info.shape, info.dtype);
  const std::byte* from = mapping_->data + data_offset_ + info.begin;
  if (info.half) {
    const std::span<float> to = tensor.data<float>();
    for (size_t i = 0; i < to.size(); ++i) {
      uint16_t bits = 0;
      std::memcpy(&bits, from + 2 * i, 2);  // the data need not be aligned
      to[i] = from_half(bits);
    }
  } else if (info.end > info.begin) {
    std::memcpy(tensor.pointer(), from, info.end - info.begin);
  }
  return tensor;
}

std::string SafetensorsFile::stated_checksum() const {
  const auto found = metadata_.find(kChecksum);
  return found == metadata_.end() ? std::string() : found->second;
}

void SafetensorsFile::check_content() const {
  const std::string stated = stated_checksum();
  if (stated.empty()) return;
  Checksum sum;
  sum.add(std::span(mapping_->data + data_offset_, mapping_->bytes - data_offset_));
  for (const auto& [name, info] : tensors_) {
    sum.add(name, info.half ? "F16" : text_of(info.dtype), info.shape, info.begin);
  }
  sum.add(metadata_);
  if (sum.text() == stated) return;
  throw IoError(fmt::format("{}: expected the content of its checksum {}, found {}: it is damaged or was changed",
                            path_.string(), stated, sum.text()));
}

std::string write_checked_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                                      std::map<std::string, std::string> metadata) {
  // As the file will hold them: what is no UTF-8 is replaced.
  for (auto& [key, value] : metadata) {
    value = Json::parse(Json(value).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
  }
  Checksum sum;
  for (const NamedTensor& t : tensors) sum.add(bytes_of(t.tensor));
  const std::vector<size_t> offsets = offsets_of(tensors);
  std::map<std::string, size_t> by_name;
  for (size_t i = 0; i < tensors.size(); ++i) by_name.emplace(tensors[i].name, i);
  for (const auto& [name, i] : by_name) {
    sum.add(name, text_of(tensors[i].tensor.dtype()), tensors[i].tensor.shape(), offsets[i]);
  }
  sum.add(metadata);
  metadata[kChecksum] = sum.text();
  write_safetensors(path, tensors, metadata);
  return sum.text();
}

void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  const std::vector<size_t> offsets = offsets_of(tensors);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const NamedTensor& t = tensors[i];
    if (!t.tensor.is_contiguous()) throw ShapeError(fmt::format("safetensors: {} is not contiguous", t.name));
    Json shape = Json::array();
    for (const int64_t e : t.tensor.shape().extents()) shape.push_back(static_cast<uint64_t>(e));
    header[t.name] = {{"dtype", text_of(t.tensor.dtype())},
                      {"shape", std::move(shape)},
                      {"data_offsets", {offsets[i], offsets[i] + t.tensor.bytes()}}};
  }
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.resize((text.size() + 8 + 63) / 64 * 64 - 8, ' ');
  const uint64_t header_bytes = text.size();

  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&header_bytes, 1)));
  file.write(text);
  for (const NamedTensor& t : tensors) file.write(bytes_of(t.tensor));
  file.commit();
}

}  // namespace tessera::nn
