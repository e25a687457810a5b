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

// One case per op. Everything that is checked or measured of an op comes from its case: see tests/op_cases/README.md.

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

/// A dimension of an operand that runs over the batch: permuting it everywhere permutes the results, bit by bit.
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
  /// The same through the public function of engine/ops: returns what it allocates, in the order of the outputs (an
  /// absent tensor where it does not return one); memory passed in is written in place. Absent: checked elsewhere.
  std::function<std::vector<Tensor>(Tensors, GradMode)> op;
  std::vector<BatchDim> batch;
  int64_t batch_block = 1;  // rows that stay together in a permutation
  double flops = 0;
};

/// f32, bf16, f64; and without f64.
[[nodiscard]] std::vector<DType> floating_types();
[[nodiscard]] std::vector<DType> narrow_types();

/// Gradients of a function of autograd/ops: by central differences in f64, then in the narrower types against f64.
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
  /// At the sizes of ViT-B, for benchmarks.
  std::function<std::vector<Problem>(DType)> benchmarks;
};

/// Every op's case.
[[nodiscard]] std::span<const OpCase> op_cases();

/// Bytes that a call must move at least: each operand once, sums twice in GradMode::accumulate.
[[nodiscard]] double bytes_of(const Problem& problem, GradMode mode);

/// Random operands, each draw different, the same in every run.
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

/// The results of the naive reference for a problem's outputs, in f64 and operand order, given inputs as they were
/// rounded; inputs' places are absent. For problems that need what a forward saved.
[[nodiscard]] std::vector<Tensor> reference_results(const Problem& problem);

}  // namespace tessera::test
