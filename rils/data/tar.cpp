#include "rils/data/tar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <utility>

namespace tessera::rils {
namespace {

constexpr size_t kBlock = 512;
constexpr uint64_t kMaxExtension = 1 << 20;  // the longest name or PAX record that is accepted
using Block = std::array<char, kBlock>;

// The offset and length of a header's fields.
struct Field {
  size_t begin, size;
};
constexpr Field kName{0, 100}, kMode{100, 8}, kUid{108, 8}, kGid{116, 8}, kSize{124, 12}, kTime{136, 12},
    kCheckSum{148, 8}, kMagic{257, 8}, kPrefix{345, 155};
constexpr size_t kType = 156;

std::string_view field(const Block& block, Field f) { return {block.data() + f.begin, f.size}; }

std::string text_field(const Block& block, Field f) {
  const std::string_view raw = field(block, f);
  return std::string(raw.substr(0, raw.find('\0')));
}

/// A number in octal digits, between blanks and zeros, or in GNU's binary form with the top bit set; nullopt for
/// anything else.
std::optional<uint64_t> number_field(const Block& block, Field f) {
  const std::string_view raw = field(block, f);
  if ((static_cast<unsigned char>(raw[0]) & 0x80) != 0) {
    if (static_cast<unsigned char>(raw[0]) != 0x80) return std::nullopt;  // negative, or beyond 2^88
    uint64_t value = 0;
    for (const char c : raw.substr(1)) {
      if (value >> 55 != 0) return std::nullopt;
      value = value << 8 | static_cast<unsigned char>(c);
    }
    return value;
  }
  const size_t begin = raw.find_first_not_of(' ');
  if (begin == std::string_view::npos) return 0;
  uint64_t value = 0;
  size_t i = begin;
  for (; i < raw.size() && raw[i] >= '0' && raw[i] <= '7'; ++i)
    value = value << 3 | static_cast<uint64_t>(raw[i] - '0');
  for (; i < raw.size(); ++i)
    if (raw[i] != ' ' && raw[i] != '\0') return std::nullopt;
  return value;
}

/// Verifies the check sum: the sum of all bytes, with the check sum's own bytes taken as blanks. Some old writers
/// summed signed bytes.
bool check_sum_holds(const Block& block) {
  int64_t plain = 0, with_sign = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    const bool own = i >= kCheckSum.begin && i < kCheckSum.begin + kCheckSum.size;
    plain += own ? ' ' : static_cast<unsigned char>(block[i]);
    with_sign += own ? ' ' : static_cast<signed char>(block[i]);
  }
  const auto stored = number_field(block, kCheckSum);
  return stored && (static_cast<int64_t>(*stored) == plain || static_cast<int64_t>(*stored) == with_sign);
}

bool is_zero(std::span<const char> bytes) {
  return std::ranges::all_of(bytes, [](char c) { return c == '\0'; });
}

/// What a file is that does not begin with a tar header.
std::string describe_start(const Block& block) {
  using namespace std::string_view_literals;
  constexpr std::pair<std::string_view, std::string_view> kKinds[] = {
      {"\x1f\x8b"sv, "compressed by gzip"},
      {"\x28\xb5\x2f\xfd"sv, "compressed by zstd"},
      {"\xfd\x37zXZ"sv, "compressed by xz"},
      {"BZh"sv, "compressed by bzip2"},
      {"\x04\x22\x4d\x18"sv, "compressed by lz4"},
      {"PK\x03\x04"sv, "a zip archive"},
      {"version https://git-lfs"sv, "a pointer of Git LFS, not the file itself"},
      {"<!DOCTYPE"sv, "an HTML page"},
      {"<html"sv, "an HTML page"}};
  for (const auto& [start, kind] : kKinds)
    if (std::string_view(block.data(), block.size()).starts_with(start))
      return fmt::format("the archive is {}; expected tar, plain or compressed by gzip", kind);
  return "the header at offset 0 is damaged or not a tar header";
}

uint64_t padded(uint64_t size) { return (size + kBlock - 1) / kBlock * kBlock; }

}  // namespace

struct TarReader::Header {
  std::string name;
  uint64_t size;
  char type;
};

std::optional<TarReader::Header> TarReader::read_header() {
  Block block;
  const size_t got = source_.read_at(position_, std::as_writable_bytes(std::span(block)));
  if (got == 0) return std::nullopt;
  if (got < kBlock) throw TarCutError(fmt::format("the archive is cut short in the header at offset {}", position_));
  if (is_zero(block)) {
    terminated_ = true;
    if (long_name_ || long_size_ || !find_next_archive()) return std::nullopt;
    return read_header();
  }
  if (!check_sum_holds(block))
    throw IoError(position_ == 0 ? describe_start(block)
                                 : fmt::format("the header at offset {} is damaged or not a tar header", position_));
  const auto size = number_field(block, kSize);
  if (!size) throw IoError(fmt::format("the header at offset {} has an invalid size", position_));
  std::string name = text_field(block, kName);
  if (field(block, kMagic).starts_with(std::string_view("ustar\0", 6))) {
    const std::string prefix = text_field(block, kPrefix);
    if (!prefix.empty()) name = prefix + "/" + name;
  }
  return Header{std::move(name), *size, block[kType]};
}

/// Goes on behind the zeros of an end marker. False when no header follows them.
bool TarReader::find_next_archive() {
  constexpr uint64_t kMostZeros = 256 << 20;  // that are looked through
  std::array<char, 128 * kBlock> chunk;
  for (uint64_t at = position_; at < source_.size(); at += chunk.size()) {
    const size_t got = source_.read_at(at, std::as_writable_bytes(std::span(chunk)));
    for (size_t i = 0; i < got; i += kBlock) {
      const size_t count = std::min(kBlock, got - i);
      const bool searched = at + i - position_ > kMostZeros;
      if (!searched && is_zero(std::span(chunk).subspan(i, count))) continue;
      Block block{};
      std::copy_n(chunk.begin() + static_cast<ptrdiff_t>(i), count, block.begin());
      if (searched || count < kBlock || !check_sum_holds(block)) {
        trailing_bytes_ = source_.size() - (at + i);
        return false;
      }
      position_ = at + i;
      terminated_ = false;
      joined_ = true;
      return true;
    }
  }
  return false;
}

void TarReader::skip_data(uint64_t size) {
  const uint64_t begin = position_ + kBlock, total = source_.size();
  if (size > total || begin > total - size)
    throw TarCutError(fmt::format("the archive is cut short: '{}' needs {} bytes from offset {}, the file ends at {}",
                                  current_name_, size, begin, total));
  // The padding after the last member may be missing; its data are complete all the same.
  position_ = begin + padded(size);
}

std::string TarReader::read_extension(uint64_t size) {
  if (size > kMaxExtension)
    throw IoError(fmt::format("the header at offset {} has a name of {} bytes, which is too long", position_, size));
  const uint64_t begin = position_ + kBlock;
  skip_data(size);
  std::string text(size, '\0');
  if (source_.read_at(begin, std::as_writable_bytes(std::span(text))) != size)
    throw TarCutError(fmt::format("the archive is cut short at offset {}", begin));
  return text;
}

/// Records have the form "LENGTH KEY=VALUE\n"; the length is that of the whole record.
void TarReader::apply_pax(std::string_view records) {
  const auto bad = [&] { return IoError(fmt::format("the PAX header before offset {} is damaged", position_)); };
  while (!records.empty() && records.front() != '\0') {
    size_t length = 0;
    const auto [end, code] = std::from_chars(records.data(), records.data() + records.size(), length);
    const auto digits = static_cast<size_t>(end - records.data());
    if (code != std::errc() || length > records.size() || length < digits + 3 || *end != ' ' ||
        records[length - 1] != '\n')
      throw bad();
    const std::string_view record = records.substr(digits + 1, length - digits - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos) throw bad();
    const std::string_view key = record.substr(0, equals), value = record.substr(equals + 1);
    if (key == "path") long_name_ = std::string(value);
    if (key == "size") {
      uint64_t size = 0;
      const auto parsed = std::from_chars(value.data(), value.data() + value.size(), size);
      if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size()) throw bad();
      long_size_ = size;
    }
    records.remove_prefix(length);
  }
}

std::optional<TarMember> TarReader::next() {
  current_name_.clear();
  for (;;) {
    const auto header = read_header();
    if (!header) {
      // A long name or size was read, but its member does not follow.
      if (long_name_ || long_size_) throw TarCutError(fmt::format("the archive is cut short at offset {}", position_));
      return std::nullopt;
    }
    switch (header->type) {
      case 'L': {
        std::string name = read_extension(header->size);
        name.resize(std::min(name.find('\0'), name.size()));
        long_name_ = current_name_ = name;
        continue;
      }
      case 'x':
        apply_pax(read_extension(header->size));
        if (long_name_) current_name_ = *long_name_;
        continue;
      case 'K':
      case 'g':
        skip_data(header->size);
        continue;
      case 'S':
        throw IoError(
            fmt::format("the header at offset {} belongs to a sparse file, which is not supported", position_));
      default:
        break;
    }
    current_name_ = long_name_.value_or(header->name);
    const uint64_t size = long_size_.value_or(header->size);
    long_name_.reset();
    long_size_.reset();
    const bool regular = header->type == '0' || header->type == '\0' || header->type == '7';
    const bool without_data = header->type >= '1' && header->type <= '6';
    const uint64_t begin = position_ + kBlock;
    skip_data(without_data ? 0 : size);
    const bool link = header->type == '1' || header->type == '2';
    if ((regular || link) && !current_name_.ends_with('/'))
      return TarMember{current_name_, begin, link ? 0 : size, link};
  }
}

void TarWriter::write_member(std::string_view name, char type, std::span<const std::byte> data) {
  Block block{};
  const auto put = [&block](Field f, std::string_view text) {
    std::memcpy(block.data() + f.begin, text.data(), std::min(text.size(), f.size));
  };
  put(kName, name);
  put(kMode, "0000644");
  put(kUid, "0000000");
  put(kGid, "0000000");
  put(kSize, fmt::format("{:011o}", data.size()));
  put(kTime, "00000000000");
  put(kMagic, std::string_view("ustar\0"
                               "00",
                               8));
  block[kType] = type;
  put(kCheckSum, "        ");
  uint32_t sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  put(kCheckSum, fmt::format("{:06o}", sum));
  block[kCheckSum.begin + 6] = '\0';
  file_.write(std::string_view(block.data(), block.size()));
  file_.write(data);
  const Block zeros{};
  file_.write(std::string_view(zeros.data(), padded(data.size()) - data.size()));
}

void TarWriter::add(std::string_view name, std::span<const std::byte> data) {
  constexpr uint64_t kMaxSize = (uint64_t{1} << 33) - 1;  // eleven octal digits
  if (data.size() > kMaxSize)
    throw IoError(fmt::format("{}: {} bytes do not fit into a tar member", name, data.size()));
  if (name.size() > kName.size) {
    // The length of the record includes its own digits.
    const size_t rest = std::string_view(" path=\n").size() + name.size();
    size_t length = rest + 1;
    while (length != rest + std::to_string(length).size()) length = rest + std::to_string(length).size();
    const std::string record = fmt::format("{} path={}\n", length, name);
    write_member("pax_header", 'x', std::as_bytes(std::span(record)));
  }
  write_member(name, '0', data);
}

void TarWriter::commit() {
  const Block zeros{};
  for (int i = 0; i < 2; ++i) file_.write(std::string_view(zeros.data(), zeros.size()));
  file_.commit();
}

}  // namespace tessera::rils
