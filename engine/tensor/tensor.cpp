#include "engine/tensor/tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "engine/core/error.h"
#include "engine/runtime/context.h"

namespace tessera {
namespace {

Shape contiguous_strides(const Shape& shape) {
  Shape strides = shape;
  int64_t step = 1;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    strides[d] = step;
    step *= std::max<int64_t>(shape[d], 1);
  }
  return strides;
}

int normalized(int dim, int rank, const char* op) {
  const int d = dim < 0 ? dim + rank : dim;
  if (d < 0 || d >= rank) throw ShapeError(fmt::format("{}: dimension {} of a tensor of rank {}", op, dim, rank));
  return d;
}

double load_element(const void* p, DType dtype) {
  switch (dtype) {
    case DType::f32:
      return static_cast<double>(*static_cast<const float*>(p));
    case DType::bf16:
      return static_cast<double>(static_cast<float>(*static_cast<const bfloat16*>(p)));
    case DType::f64:
      return *static_cast<const double*>(p);
    case DType::i32:
      return *static_cast<const int32_t*>(p);
    case DType::i64:
      return static_cast<double>(*static_cast<const int64_t*>(p));
    case DType::u8:
      return *static_cast<const uint8_t*>(p);
  }
  return 0;
}

}  // namespace

Tensor::Tensor(std::shared_ptr<Storage> storage, const Shape& shape, DType dtype, int64_t offset)
    : storage_(std::move(storage)), shape_(shape), strides_(contiguous_strides(shape)), offset_(offset), dtype_(dtype) {
  for (const int64_t e : shape.extents()) {
    if (e < 0) throw ShapeError(fmt::format("tensor: negative extent in {}", to_string(shape)));
  }
}

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  for (const int64_t e : shape.extents()) {
    if (e < 0) throw ShapeError(fmt::format("tensor: negative extent in {}", to_string(shape)));
  }
  const size_t bytes = static_cast<size_t>(shape.numel()) * size_of(dtype);
  return {std::make_shared<Storage>(device, context(device).allocator(), bytes), shape, dtype};
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  Tensor t = empty(shape, dtype, device);
  context(device).backend().zero(t.pointer(), t.bytes());
  return t;
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype) {
  Tensor t = empty(shape, dtype);
  switch (dtype) {
    case DType::f32:
      std::ranges::fill(t.data<float>(), static_cast<float>(value));
      break;
    case DType::bf16:
      std::ranges::fill(t.data<bfloat16>(), bfloat16::nearest(value));
      break;
    case DType::f64:
      std::ranges::fill(t.data<double>(), value);
      break;
    case DType::i32:
      std::ranges::fill(t.data<int32_t>(), static_cast<int32_t>(value));
      break;
    case DType::i64:
      std::ranges::fill(t.data<int64_t>(), static_cast<int64_t>(value));
      break;
    case DType::u8:
      std::ranges::fill(t.data<uint8_t>(), static_cast<uint8_t>(value));
      break;
  }
  return t;
}

template <class T>
Tensor Tensor::from(std::span<const T> values, const Shape& shape, Device device) {
  if (static_cast<int64_t>(values.size()) != shape.numel()) {
    throw ShapeError(fmt::format("tensor: {} values for shape {}", values.size(), to_string(shape)));
  }
  Tensor t = empty(shape, kDTypeOf<T>, device);
  context(device).backend().upload(t.pointer(), values.data(), values.size_bytes());
  return t;
}

template <class T>
std::span<T> Tensor::data() const {
  if (!storage_) throw ShapeError("tensor: data() of an absent tensor");
  if (dtype_ != kDTypeOf<T>) {
    throw DTypeError(fmt::format("tensor: data() as {} of {}", name_of(kDTypeOf<T>), describe(*this)));
  }
  if (!is_contiguous()) throw ShapeError(fmt::format("tensor: data() of {}, which is not contiguous", describe(*this)));
  if (!(device() == Device::cpu())) {
    throw DeviceError(
        fmt::format("tensor: data() of {} on {}, expected cpu (call to())", describe(*this), to_string(device())));
  }
  return {static_cast<T*>(pointer()), static_cast<size_t>(numel())};
}

#define TESSERA_INSTANTIATE(T)                                                      \
  template Tensor Tensor::from<T>(std::span<const T> values, const Shape&, Device); \
  template std::span<T> Tensor::data<T>() const;
TESSERA_INSTANTIATE(float)
TESSERA_INSTANTIATE(bfloat16)
TESSERA_INSTANTIATE(double)
TESSERA_INSTANTIATE(int32_t)
TESSERA_INSTANTIATE(int64_t)
TESSERA_INSTANTIATE(uint8_t)
#undef TESSERA_INSTANTIATE

bool Tensor::is_contiguous() const {
  int64_t step = 1;
  for (int d = rank() - 1; d >= 0; --d) {
    if (shape_[d] != 1 && strides_[d] != step) return numel() == 0;
    step *= shape_[d];
  }
  return true;
}

double Tensor::item() const {
  if (!storage_ || numel() != 1) throw ShapeError(fmt::format("tensor: item() of {}", describe(*this)));
  alignas(8) std::array<std::byte, 8> element{};
  context(device()).backend().download(element.data(), pointer(), size_of(dtype_));
  return load_element(element.data(), dtype_);
}

Tensor Tensor::to(Device target) const {
  if (!storage_ || device() == target) return *this;
  if (!is_contiguous())
    throw ShapeError(fmt::format("tensor: to({}) of {}, which is not contiguous", to_string(target), describe(*this)));
  const Device cpu = Device::cpu();
  if (!(device() == cpu) && !(target == cpu)) return to(cpu).to(target);
  Tensor copy = empty(shape_, dtype_, target);
  if (target == cpu) {
    context(device()).backend().download(copy.pointer(), pointer(), bytes());
  } else {
    context(target).backend().upload(copy.pointer(), pointer(), bytes());
  }
  return copy;
}

const Tensor& TwoSided::on(Device device) {
  if (device == Device::cpu()) return host;
  if (!copy || !(copy.device() == device)) {
    const MemoryTag tag("index sets");
    copy = host.to(device);
  }
  return copy;
}

void* Tensor::pointer() const {
  if (!storage_) return nullptr;
  return static_cast<std::byte*>(storage_->pointer()) + offset_ * static_cast<int64_t>(size_of(dtype_));
}

View Tensor::view() const {
  View v;
  v.pointer = pointer();
  v.dtype = dtype_;
  v.rank = rank();
  for (int d = 0; d < v.rank; ++d) {
    v.shape[static_cast<size_t>(d)] = shape_[d];
    v.strides[static_cast<size_t>(d)] = strides_[d];
  }
  return v;
}

Tensor Tensor::reshape(const Shape& shape) const {
  if (!is_contiguous()) throw ShapeError(fmt::format("reshape: {} is not contiguous", describe(*this)));
  Shape target = shape;
  int64_t known = 1;
  int unknown = -1;
  for (int d = 0; d < target.rank(); ++d) {
    if (target[d] == -1 && unknown < 0) {
      unknown = d;
    } else {
      known *= target[d];
    }
  }
  if (unknown >= 0) target[unknown] = known > 0 ? numel() / known : 0;
  if (target.numel() != numel()) {
    throw ShapeError(fmt::format("reshape: {} to {}", to_string(shape_), to_string(shape)));
  }
  Tensor t(storage_, target, dtype_, offset_);
  return t;
}

Tensor Tensor::slice(int dim, int64_t begin, int64_t count) const {
  const int d = normalized(dim, rank(), "slice");
  if (begin < 0 || count < 0 || begin + count > shape_[d]) {
    throw ShapeError(fmt::format("slice: [{}, {}) of dimension {} of {}", begin, begin + count, d, to_string(shape_)));
  }
  Tensor t = *this;
  t.shape_[d] = count;
  t.offset_ += begin * strides_[d];
  return t;
}

Tensor Tensor::transpose(int a, int b) const {
  const int i = normalized(a, rank(), "transpose");
  const int j = normalized(b, rank(), "transpose");
  Tensor t = *this;
  std::swap(t.shape_[i], t.shape_[j]);
  std::swap(t.strides_[i], t.strides_[j]);
  return t;
}

SegmentTable::SegmentTable(std::span<const int64_t> lengths) {
  const Tensor table = Tensor::empty({static_cast<int64_t>(lengths.size()) + 1}, DType::i64);
  const auto offsets = table.data<int64_t>();
  offsets[0] = 0;
  for (size_t b = 0; b < lengths.size(); ++b) {
    if (lengths[b] < 0) throw ShapeError("segments: negative length");
    offsets[b + 1] = offsets[b] + lengths[b];
    max_len_ = std::max(max_len_, lengths[b]);
  }
  table_ = std::make_shared<TwoSided>(TwoSided{.host = table});
}

Segments SegmentTable::on(Device device) const {
  if (!table_) return {};
  const auto* numbers = static_cast<const int64_t*>(table_->on(device).pointer());
  return {.offsets = offsets(), .on_device = numbers, .count = count(), .max_len = max_len_};
}

SegmentTable SegmentTable::uniform(int64_t count, int64_t length) {
  return SegmentTable(std::vector<int64_t>(static_cast<size_t>(count), length));
}

std::string describe(const Tensor& tensor) {
  if (!tensor) return "(absent)";
  return fmt::format("{} {}", name_of(tensor.dtype()), to_string(tensor.shape()));
}

namespace {

/// A host tensor of any layout.
void print_into(std::string& out, const Tensor& t, const std::byte* p, int dim, int per_dim) {
  if (dim == t.rank()) {
    out += fmt::format("{:.5g}", load_element(p, t.dtype()));
    return;
  }
  out += '[';
  const int64_t shown = std::min<int64_t>(t.size(dim), per_dim);
  for (int64_t i = 0; i < shown; ++i) {
    if (i > 0) out += dim + 1 == t.rank() ? ", " : ",\n ";
    print_into(out, t, p + i * t.stride(dim) * static_cast<int64_t>(size_of(t.dtype())), dim + 1, per_dim);
  }
  if (shown < t.size(dim)) out += ", …";
  out += ']';
}

}  // namespace

std::string print(const Tensor& tensor, int per_dim) {
  std::string out = describe(tensor);
  if (!tensor) return out;
  out += ' ';
  const Tensor host = tensor.to(Device::cpu());
  print_into(out, host, static_cast<const std::byte*>(host.pointer()), 0, per_dim);
  return out;
}

}  // namespace tessera
