#include "engine/cuda/dnn/request.h"

#include <algorithm>

namespace tessera::cuda::dnn {
namespace {

/// Every access of a kernel moves this many bytes.
constexpr int64_t kAlignment = 16;

bool whole(int64_t elements, DType dtype) { return elements * static_cast<int64_t>(size_of(dtype)) % kAlignment == 0; }
bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % kAlignment == 0; }

/// Null, or rows of `columns` that lie apart and start at whole accesses.
bool readable(const ProductMatrix& x, int64_t columns) {
  return x.data == nullptr || (aligned(x.data) && x.row_stride >= columns && whole(x.row_stride, x.dtype));
}
Place place_of(const ProductMatrix& x) {
  return x.data == nullptr ? Place{} : Place{.dtype = x.dtype, .row_stride = x.row_stride};
}

bool has_known_types(const Product& p) {
  const auto known = [](const ProductMatrix& x) {
    return x.data == nullptr || x.dtype == DType::bf16 || x.dtype == DType::f32;
  };
  return p.dtype == DType::bf16 && known(p.y) && known(p.residual) &&
         (p.pre.data == nullptr || p.pre.dtype == DType::bf16);
}

bool has_known_epilogue(const Product& p) {
  if (p.alpha != 1 || p.batches != 1 || p.accumulate || p.split) return false;
  if (p.slope) return p.act != Act::none && p.pre.data != nullptr;
  // Nothing says that the library reads a residual before it writes a result in its place.
  if (p.residual.data != nullptr && p.residual.data == p.y.data) return false;
  return p.bias != nullptr || p.row_scale != nullptr || p.act != Act::none || p.pre.data != nullptr ||
         p.residual.data != nullptr;
}

bool has_known_sums(const Product& p) {
  if (!p.column_sums) return true;
  const View& sums = p.column_sums;
  return sums.dtype == DType::f32 && sums.stride(0) == 1 && aligned(sums.pointer) && p.m % kSummedRows == 0 &&
         p.m >= kLeastSummedRows;
}

bool has_known_layout(const Product& p) {
  for (const int64_t extent : {p.m, p.n, p.k}) {
    if (extent < 1 || extent > INT32_MAX) return false;
  }
  if (!whole(p.n, DType::bf16) || !whole(p.k, DType::bf16) || p.y_column_stride != 1) return false;
  if (p.left.step_stride != 1 || p.left.line_stride < p.k || !whole(p.left.line_stride, DType::bf16)) return false;
  const bool by_rows = p.right.step_stride == 1;
  if (!by_rows && p.right.line_stride != 1) return false;
  const int64_t w_stride = by_rows ? p.right.line_stride : p.right.step_stride;
  if (w_stride < (by_rows ? p.k : p.n) || !whole(w_stride, DType::bf16)) return false;
  return aligned(p.left.data) && aligned(p.right.data) && aligned(p.bias) && aligned(p.row_scale) &&
         readable(p.pre, p.n) && readable(p.residual, p.n) && readable(p.y, p.n);
}

}  // namespace

std::optional<Request> request_of(const Product& p) {
  if (!has_known_types(p) || !has_known_epilogue(p) || !has_known_sums(p) || !has_known_layout(p)) return std::nullopt;
  const bool by_rows = p.right.step_stride == 1;
  Request r{.n = p.n,
            .k = p.k,
            .x_stride = p.left.line_stride,
            .w_by_rows = by_rows,
            .w_stride = by_rows ? p.right.line_stride : p.right.step_stride,
            .slope = p.slope,
            .column_sums = static_cast<bool>(p.column_sums),
            .act = p.act,
            .pre = place_of(p.pre),
            .residual = {},
            .y = place_of(p.y)};
  if (!p.slope) {
    r.bias = p.bias != nullptr;
    r.row_scale = p.row_scale != nullptr;
    r.residual = place_of(p.residual);
  }
  return r;
}

Pointers pointers_of(const Product& p) {
  const auto writable = [](const void* x) { return const_cast<void*>(x); };  // the library's type for all of them
  return {writable(p.left.data),
          writable(p.right.data),
          writable(p.bias),
          writable(p.row_scale),
          p.pre.data,
          p.residual.data,
          p.y.data,
          p.column_sums.pointer};
}

std::string describe(const Request& r, int64_t rows) {
  std::string text =
      std::to_string(rows) + " x " + std::to_string(r.n) + " x " + std::to_string(r.k) + " (rows, columns, terms) with";
  const auto part = [&](bool present, const std::string& word) {
    if (present) text += (text.ends_with("with") ? " " : ", ") + word;
  };
  const std::string act = r.act == Act::gelu_erf ? "gelu_erf" : "quick_gelu";
  part(r.bias, "bias");
  part(static_cast<bool>(r.pre) && !r.slope, "pre");
  part(r.act != Act::none, (r.slope ? "the slope of " : "") + act);
  part(r.row_scale, "row scale");
  part(static_cast<bool>(r.residual), std::string(name_of(r.residual.dtype)) + " residual");
  part(r.column_sums, "column sums");
  return text + " to " + std::string(name_of(r.y.dtype));
}

}  // namespace tessera::cuda::dnn
