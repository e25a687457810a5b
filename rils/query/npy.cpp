#include "rils/query/npy.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/ops/copy.h"

namespace tessera::rils {
namespace {

constexpr std::string_view kMagic("\x93NUMPY\x01\x00", 8);
constexpr size_t kPreamble = 10;   // magic, version and the header's length
constexpr size_t kAlignment = 64;  // of the data's first byte

/// Reads the sizes in "'shape': (3, 4), …". Empty when they cannot be read.
std::vector<int64_t> parse_shape(std::string_view header) {
  const size_t key = header.find("'shape': (");
  if (key == std::string_view::npos) return {};
  const char* at = header.data() + key + 10;
  const char* const end = header.data() + header.size();
  std::vector<int64_t> sizes;
  while (at < end && *at != ')') {
    int64_t size = 0;
    const auto [next, error] = std::from_chars(at, end, size);
    if (error != std::errc() || size < 0) return {};
    sizes.push_back(size);
    at = next;
    while (at < end && (*at == ',' || *at == ' ')) ++at;
  }
  return sizes;
}

}  // namespace

void write_npy(const std::filesystem::path& path, const Tensor& values) {
  AtomicFile file(path);
  write_npy(file, values);
  file.commit();
}

void write_npy(AtomicFile& file, const Tensor& values) {
  const Tensor dense = values.is_contiguous() ? values : clone(values);
  std::vector<int64_t> sizes;
  for (int d = 0; d < dense.rank(); ++d) sizes.push_back(dense.size(d));
  std::string header = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}{}), }}",
                                   fmt::join(sizes, ", "), sizes.size() == 1 ? "," : "");
  header.append(kAlignment - (kPreamble + header.size() + 1) % kAlignment, ' ').push_back('\n');
  std::string head(kMagic);
  head.push_back(static_cast<char>(header.size() & 0xff));
  head.push_back(static_cast<char>(header.size() >> 8));
  file.write(head + header);
  file.write(std::as_bytes(std::span<const float>(dense.data<float>())));
}

Tensor read_npy(const std::filesystem::path& path) {
  const std::string text = read_file(path, std::numeric_limits<uint64_t>::max());
  const auto fail = [&](std::string_view found) {
    throw IoError(fmt::format("{}: expected an .npy file of f32 in C order, found {}", path.string(), found));
  };
  if (!text.starts_with(kMagic) || text.size() < kPreamble) fail("another format");
  const size_t length = static_cast<unsigned char>(text[8]) + 256U * static_cast<unsigned char>(text[9]);
  if (text.size() < kPreamble + length) fail("a file cut short");
  const std::string_view header = std::string_view(text).substr(kPreamble, length);
  if (header.find("'<f4'") == std::string_view::npos || header.find("False") == std::string_view::npos) {
    fail("another type or order");
  }
  const std::vector<int64_t> sizes = parse_shape(header);
  if (sizes.size() != 2) fail("an array that has not two dimensions");
  const size_t bytes = text.size() - kPreamble - length;
  // Divisions, since a hostile shape may overflow a product.
  const auto rows = static_cast<size_t>(sizes[0]), columns = static_cast<size_t>(sizes[1]);
  if (rows == 0 || columns == 0 || bytes / sizeof(float) / rows != columns || bytes != rows * columns * sizeof(float)) {
    fail(fmt::format("{} bytes for the shape [{}]", bytes, fmt::join(sizes, ", ")));
  }
  Tensor values = Tensor::empty({sizes[0], sizes[1]}, DType::f32);
  std::memcpy(values.data<float>().data(), text.data() + kPreamble + length, bytes);
  return values;
}

}  // namespace tessera::rils
