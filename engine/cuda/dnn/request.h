#pragma once

#include <array>
#include <compare>
#include <optional>
#include <string>

#include "engine/cuda/product.h"

namespace tessera::cuda::dnn {

/// Where a matrix lies. Strides count elements; 0 stands for an absent matrix.
struct Place {
  DType dtype = DType::bf16;
  int64_t row_stride = 0;

  explicit operator bool() const { return row_stride != 0; }
  auto operator<=>(const Place&) const = default;
};

/// A product as a graph sees it: everything but the number of rows and the addresses. One kernel serves all products
/// with equal requests.
struct Request {
  int64_t n = 0, k = 0;
  int64_t x_stride = 0;   // of the rows of the left operand
  bool w_by_rows = true;  // the right operand is [n, k] with contiguous k; else contiguous n
  int64_t w_stride = 0;
  bool bias = false, row_scale = false, slope = false, column_sums = false;
  Act act = Act::none;
  Place pre, residual, y;

  auto operator<=>(const Request&) const = default;
};

/// The operands of a graph. Each is known to it by its place in this list.
enum class Operand : uint8_t { x, w, bias, row_scale, pre, residual, y, column_sums };
constexpr size_t kOperands = 8;
using Pointers = std::array<void*, kOperands>;

/// With sums over columns a kernel is compiled for each number of rows, which takes seconds. So these requests are for
/// many whole tiles of rows, as uniform batches have them, and not for ragged ones.
constexpr int64_t kSummedRows = 128;
constexpr int64_t kLeastSummedRows = 4096;

/// The product's request, where it is one for cuDNN: bf16 operands and a result to which something is done. Its extents
/// are whole vectors of 16 bytes, and so are strides and addresses. Plain products, accumulation into y and a result in
/// the place of a residual are not its case.
[[nodiscard]] std::optional<Request> request_of(const Product& product);
/// The addresses by Operand, null where absent.
[[nodiscard]] Pointers pointers_of(const Product& product);
/// "50432 x 768 x 3072 (rows, columns, terms) with bias, gelu_erf, pre to bf16"
[[nodiscard]] std::string describe(const Request& request, int64_t rows);

}  // namespace tessera::cuda::dnn
