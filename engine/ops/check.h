#pragma once

#include <initializer_list>

#include "engine/core/error.h"
#include "engine/runtime/context.h"
#include "engine/tensor/tensor.h"

namespace tessera::check {

/// An operand and its name in messages.
struct Operand {
  const char* name;
  const Tensor& tensor;
};

/// Checks that the operands exist and that they and those of `optional` that exist are on one device, and returns its
/// context. Every operand of an op stands here: an address of another device would crash a kernel.
[[nodiscard]] Context& device(const char* op, std::initializer_list<Operand> operands,
                              std::initializer_list<Operand> optional = {});
/// Checks the extents; −1 in `expected` allows any. `why` says where the expectation comes from.
void shape(const char* op, Operand operand, const Shape& expected, const char* why);
void rank(const char* op, Operand operand, int expected);
void dtype(const char* op, Operand operand, std::initializer_list<DType> allowed);
void contiguous(const char* op, std::initializer_list<Operand> operands);
/// Checks that the last dimension is dense. Rows may be strided.
void dense_rows(const char* op, std::initializer_list<Operand> operands);
/// Checks that the segments cover exactly `rows` rows.
void segments(const char* op, const char* name, const SegmentTable& table, int64_t rows);
/// The type of statistics and sums of `dtype`: f64 for f64, else f32.
[[nodiscard]] constexpr DType statistics(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

}  // namespace tessera::check
