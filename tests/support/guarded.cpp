#include "tests/support/guarded.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>

#include "engine/runtime/context.h"

namespace tessera::test {
namespace {

constexpr size_t kGuardBytes = 256;
constexpr std::byte kGuard{0xff};
constexpr size_t kAlignment = 64;

std::byte* element(const View& view, int64_t offset) {
  return view.data<std::byte>() + offset * static_cast<int64_t>(size_of(view.dtype));
}

}  // namespace

void for_each_offset(const View& view, const std::function<void(int64_t)>& body) {
  if (view.numel() == 0) return;
  std::array<int64_t, kMaxRank> index{};
  int64_t offset = 0;
  for (;;) {
    body(offset);
    int d = view.rank - 1;
    for (; d >= 0; --d) {
      const auto at = static_cast<size_t>(d);
      offset += view.stride(d);
      if (++index[at] < view.size(d)) break;
      offset -= view.size(d) * view.stride(d);
      index[at] = 0;
    }
    if (d < 0) return;
  }
}

double load(const View& view, int64_t offset) {
  const std::byte* p = element(view, offset);
  const auto as = [p]<class T>(T value) {
    std::memcpy(&value, p, sizeof value);
    return value;
  };
  switch (view.dtype) {
    case DType::f32:
      return static_cast<double>(as(float{}));
    case DType::bf16:
      return static_cast<double>(static_cast<float>(as(bfloat16{})));
    case DType::f64:
      return as(double{});
    case DType::i32:
      return static_cast<double>(as(int32_t{}));
    case DType::i64:
      return static_cast<double>(as(int64_t{}));
    case DType::u8:
      return static_cast<double>(as(uint8_t{}));
  }
  return 0;
}

void store(const View& view, int64_t offset, double value) {
  std::byte* p = element(view, offset);
  const auto put = [p](auto x) { std::memcpy(p, &x, sizeof x); };
  switch (view.dtype) {
    case DType::f32:
      return put(static_cast<float>(value));
    case DType::bf16:
      return put(bfloat16(static_cast<float>(rounded(value, DType::bf16))));
    case DType::f64:
      return put(value);
    case DType::i32:
      return put(static_cast<int32_t>(value));
    case DType::i64:
      return put(static_cast<int64_t>(value));
    case DType::u8:
      return put(static_cast<uint8_t>(value));
  }
}

double rounded(double value, DType dtype) {
  if (dtype == DType::f32) return static_cast<double>(static_cast<float>(value));
  if (dtype != DType::bf16 || !std::isfinite(value) || value == 0) return value;
  // Scaled so that bf16's last bit is the unit; nearbyint rounds ties to even. Subnormals share the least unit.
  const int unit = std::max(std::ilogb(value) - 7, -133);
  const double result = std::ldexp(std::nearbyint(std::ldexp(value, -unit)), unit);
  return std::abs(result) < 0x1p128 ? result : std::copysign(HUGE_VAL, value);
}

double unit_roundoff(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return 0x1p-24;
    case DType::bf16:
      return 0x1p-8;
    case DType::f64:
      return 0x1p-53;
    default:
      return 0;
  }
}

namespace {

/// Where an operand lies in memory: its extents in the order of memory.
struct Place {
  std::vector<int> order;
  Shape memory;
};
Place place_of(const Shape& shape, const Layout& layout) {
  std::vector<int> order = layout.order;
  if (order.empty()) {
    order.resize(static_cast<size_t>(shape.rank()));
    std::iota(order.begin(), order.end(), 0);
  }
  Shape memory;
  for (const int d : order) memory.push_back(shape[d]);
  if (layout.pad > 0) memory[layout.pad_dim] += layout.pad;
  return {order, memory};
}

Tensor placed(const std::shared_ptr<Storage>& block, const Shape& shape, DType dtype, const Layout& layout) {
  auto [order, memory] = place_of(shape, layout);
  // A dense operand is aligned as the pool aligns it; a strided one starts one element later.
  const int64_t shift = layout.start >= 0 ? layout.start : layout.dense() ? 0 : 1;
  const auto start = static_cast<int64_t>(kGuardBytes / size_of(dtype)) + shift;
  Tensor tensor(block, memory, dtype, start);
  if (layout.pad > 0) tensor = tensor.slice(layout.pad_dim, layout.pad / 2, memory[layout.pad_dim] - layout.pad);
  // Brings the dimensions from their order in memory to their logical places.
  for (int d = 0; d < shape.rank(); ++d) {
    const auto from = static_cast<int>(std::ranges::find(order, d) - order.begin());
    tensor = tensor.transpose(d, from);
    std::swap(order[static_cast<size_t>(d)], order[static_cast<size_t>(from)]);
  }
  return tensor;
}

/// The bytes of the block around an operand.
size_t guarded_bytes(const Shape& shape, DType dtype, const Layout& layout) {
  const size_t bytes = static_cast<size_t>(place_of(shape, layout).memory.numel()) * size_of(dtype);
  return bytes + 2 * kGuardBytes + kAlignment;
}

}  // namespace

Tensor uninitialised(const Shape& shape, DType dtype, const Layout& layout, Device device) {
  const size_t bytes = guarded_bytes(shape, dtype, layout);
  return placed(std::make_shared<Storage>(device, context(device).allocator(), bytes), shape, dtype, layout);
}

Guarded::Guarded(const Shape& shape, DType dtype, const Layout& layout, Device device) {
  const size_t guarded = guarded_bytes(shape, dtype, layout);
  host_ = std::make_shared<Storage>(Device::cpu(), cpu_context().allocator(), guarded);
  const bool here = device == Device::cpu();
  block_ = here ? host_ : std::make_shared<Storage>(device, context(device).allocator(), guarded);
  mirror_ = placed(host_, shape, dtype, layout);
  tensor_ = here ? mirror_ : placed(block_, shape, dtype, layout);
  poison();
}

std::span<std::byte> Guarded::block() const { return {static_cast<std::byte*>(host_->pointer()), host_->bytes()}; }

void Guarded::push() const {
  if (block_ == host_) return;
  context(block_->device()).backend().upload(block_->pointer(), host_->pointer(), host_->bytes());
}
void Guarded::pull() const {
  if (block_ == host_) return;
  context(block_->device()).backend().download(host_->pointer(), block_->pointer(), host_->bytes());
}

void Guarded::poison() {
  std::ranges::fill(block(), kGuard);
  push();
}

void Guarded::assign(const Tensor& values) {
  const View to = mirror_;
  const Tensor host = values.to(Device::cpu());
  const View from = host;
  std::vector<double> numbers;
  numbers.reserve(static_cast<size_t>(from.numel()));
  for_each_offset(from, [&](int64_t offset) { numbers.push_back(load(from, offset)); });
  size_t i = 0;
  for_each_offset(to, [&](int64_t offset) { store(to, offset, numbers[i++]); });
  push();
}

bool Guarded::guards_intact() const {
  pull();
  const View view = mirror_;
  std::vector<std::byte> outside(block().begin(), block().end());
  const auto size = static_cast<std::ptrdiff_t>(size_of(view.dtype));
  for_each_offset(view, [&](int64_t offset) {
    const std::ptrdiff_t at = element(view, offset) - block().data();
    std::fill_n(outside.begin() + at, size, kGuard);
  });
  return std::ranges::all_of(outside, [](std::byte b) { return b == kGuard; });
}

std::vector<std::byte> Guarded::content() const {
  pull();
  const View view = mirror_;
  const size_t size = size_of(view.dtype);
  std::vector<std::byte> bytes(static_cast<size_t>(view.numel()) * size);
  std::byte* to = bytes.data();
  for_each_offset(view, [&](int64_t offset) {
    std::memcpy(to, element(view, offset), size);
    to += size;
  });
  return bytes;
}

std::vector<double> Guarded::values() const {
  pull();
  const View view = mirror_;
  std::vector<double> result;
  result.reserve(static_cast<size_t>(view.numel()));
  for_each_offset(view, [&](int64_t offset) { result.push_back(load(view, offset)); });
  return result;
}

}  // namespace tessera::test
