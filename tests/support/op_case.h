#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "autograd/variable.h"
#include "engine/core/philox.h"
#include "engine/ops/kernels.h"
#include "engine/runtime/context.h"
#include "tests/support/guarded.h"

// There is one case per op, and every check and benchmark of the op uses it. See tests/op_cases/README.md.

namespace tessera::test {

/// An element may differ from the reference by c · u · √k · magnitude, u being the unit roundoff of the arithmetic,
/// plus one rounding to the operand's type. magnitude is the largest |reference| of the operand, or with `elementwise`
/// that of the element, and at least `floor`. c = 0: exact up to that rounding.
struct Tolerance {
  double c = 0;
  double k = 1;  // terms of the sum behind one element
  double floor = 0;
  bool elementwise = false;
  std::optional<DType> precision{};  // of the arithmetic; default f64 for f64, else f32
};

enum class Role : uint8_t {
  in,
  out,    // written; filled with NaN before the call
  inout,  // read and written, in place
  sum,    // written, or added to in GradMode::accumulate
};

/// One view of a kernel call.
struct Operand {
  std::string name;
  Role role = Role::in;
  DType dtype = DType::f32;
  Shape shape;
  Tensor values;  // of in and inout: f64, or integers
  Tolerance tolerance;
  Layout layout;
  bool absent = false;
};
[[nodiscard]] Operand in(std::string name, DType dtype, Tensor values, Layout layout = {});
[[nodiscard]] Operand out(std::string name, DType dtype, const Shape& shape, Tolerance tolerance, Layout layout = {});
[[nodiscard]] Operand sum_out(std::string name, DType dtype, const Shape& shape, Tolerance tolerance,
                              Layout layout = {});
[[nodiscard]] Operand inout(std::string name, DType dtype, Tensor values, Tolerance tolerance);
[[nodiscard]] Operand absent(std::string name);

/// A dimension of an operand that counts the samples of a batch. A permuted batch must give permuted results, bit by
/// bit.
struct BatchDim {
  size_t operand;
  int dim;
};

using Views = std::span<const View>;
using Tensors = std::span<const Tensor>;

/// One call of one or more kernels on given operands.
struct Problem {
  std::string name;
  std::vector<Operand> operands;
  std::function<void(Context&, const KernelTable&, Views, GradMode)> call;
  /// The same call through the public function of engine/ops. Returns what the function allocates, in the order of the
  /// outputs, with an absent tensor for an output that was passed in and is written in place. Null: checked elsewhere.
  std::function<std::vector<Tensor>(Tensors, GradMode)> op;
  std::vector<BatchDim> batch;
  int64_t batch_block = 1;  // rows that stay together in a permutation
  double flops = 0;
};

/// f32, bf16 and f64, or without f64.
[[nodiscard]] std::vector<DType> floating_types();
[[nodiscard]] std::vector<DType> narrow_types();

/// A function of autograd/ops whose gradients are compared: in f64 with central differences, then in narrower types
/// with f64.
struct Gradient {
  struct Input {
    Tensor values;      // f64
    bool wide = false;  // f32 where the compute type is bf16 (a master weight)
  };
  std::string name;
  std::vector<Input> inputs;
  std::function<autograd::Var(const std::vector<autograd::Var>&, DType compute)> forward;
  double c = 4;  // f32 and bf16 gradients: c · u · √k · largest |gradient|
  double k = 1;
  std::vector<DType> dtypes = narrow_types();
};

enum class ErrorKind : uint8_t { shape, dtype, device };

/// A call of a public function that must throw a typed error of one line.
struct Refusal {
  std::string name;
  ErrorKind kind;
  std::function<void()> call;
};

struct OpCase {
  std::string name;
  std::vector<std::string> slots;  // of the kernel table, as "norm.layer_norm"
  std::function<std::vector<Problem>(DType)> problems;
  std::vector<DType> dtypes = floating_types();
  std::vector<Gradient> gradients;
  std::vector<Refusal> refusals;
  /// Problems of the sizes of ViT-B, for benchmarks.
  std::function<std::vector<Problem>(DType)> benchmarks;
};

/// Every op's case.
[[nodiscard]] std::span<const OpCase> op_cases();

/// The least number of bytes that a call moves: each operand once, and sums twice in GradMode::accumulate.
[[nodiscard]] double bytes_of(const Problem& problem, GradMode mode);

/// Random operands. Each draw is different, and every run gives the same draws.
class Values {
 public:
  explicit Values(std::string_view purpose) : random_(1, purpose) {}
  [[nodiscard]] Tensor normal(const Shape& shape, double scale = 1, double mean = 0);
  [[nodiscard]] Tensor uniform(const Shape& shape, double low, double high);
  /// i32 in [low, high).
  [[nodiscard]] Tensor integers(const Shape& shape, int64_t low, int64_t high);
  /// Normal rows of Euclidean norm 1.
  [[nodiscard]] Tensor unit_rows(const Shape& shape);

 private:
  Philox random_;
  uint64_t draws_ = 0;
};

/// The type of masters, statistics and gradients of weights.
[[nodiscard]] constexpr DType wide(DType compute) { return compute == DType::f64 ? DType::f64 : DType::f32; }
/// The other type of an activation: f32 under bf16, bf16 under f32, f64 under f64.
[[nodiscard]] constexpr DType other(DType compute) {
  return compute == DType::f64 ? DType::f64 : compute == DType::f32 ? DType::bf16 : DType::f32;
}

/// The outputs of the naive reference for a problem, in f64, one per operand; the places of inputs are absent. Inputs
/// are rounded to their types first. A backward problem uses this for what its forward saves.
[[nodiscard]] std::vector<Tensor> reference_results(const Problem& problem);

}  // namespace tessera::test
