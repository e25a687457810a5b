#pragma once

#include <functional>
#include <map>
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
  /// For benchmarks: makes what a training step makes once and keeps, a packed weight, and returns the call, which
  /// reads the views. Null: the call makes nothing of the kind.
  std::function<std::function<void()>(Context&, const KernelTable&, Views)> ready{};
  double flops = 0;
  std::map<size_t, double> moved{};  // the share of an operand that a call moves, where it is not all of it
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

/// Sizes of the problems that are measured, by default those of ViT-B/16 and its text encoder on a CPU.
struct BenchmarkSizes {
  int64_t batch = 8;
  int64_t contrast = 256;  // rows on either side of a contrastive loss
  int64_t image = 224, patch = 16, tokens = 197, visible = 50;
  int64_t width = 768, heads = 12, hidden = 3072;
  int64_t caption = 77, text_width = 512, text_heads = 8, vocabulary = 49408;
  int64_t projector = 4096, projector_rows = 512, classes = 1000;
  int64_t parameters = 7'000'000;

  [[nodiscard]] int64_t rows() const { return batch * tokens; }
  [[nodiscard]] int64_t predicted() const { return batch * (tokens - visible); }  // hidden patches of the batch
  /// Those of a GPU: a whole batch, short captions, every parameter.
  [[nodiscard]] static BenchmarkSizes of_a_gpu(int64_t batch);
  /// So small that an emulated device computes them in seconds.
  [[nodiscard]] static BenchmarkSizes tiny();
};

struct OpCase {
  std::string name;
  std::vector<std::string> slots;  // of the kernel table, as "norm.layer_norm"
  std::function<std::vector<Problem>(DType)> problems;
  std::vector<DType> dtypes = floating_types();
  std::vector<Gradient> gradients;
  std::vector<Refusal> refusals;
  /// Problems to be measured. Their floating operands hold the first values only, see Values::shortened.
  std::function<std::vector<Problem>(DType, const BenchmarkSizes&)> benchmarks;
};

/// Every op's case.
[[nodiscard]] std::span<const OpCase> op_cases();

/// The least number of bytes that a call moves: each operand once, or the share of it that `moved` gives, and sums
/// twice in GradMode::accumulate.
[[nodiscard]] double bytes_of(const Problem& problem, GradMode mode);

/// Random operands. Each draw is different, and every run gives the same draws.
class Values {
 public:
  explicit Values(std::string_view purpose) : random_(1, purpose) {}
  /// For benchmarks: floating tensors get only their first rows, up to kShort elements, which the benchmark repeats.
  /// The rest of their memory is not written, so that operands of gigabytes cost nothing here.
  [[nodiscard]] static Values shortened(std::string_view purpose);
  static constexpr int64_t kShort = 1 << 18;
  /// How many elements of such a tensor are drawn.
  [[nodiscard]] static int64_t short_count(const Shape& shape);
  [[nodiscard]] Tensor normal(const Shape& shape, double scale = 1, double mean = 0);
  [[nodiscard]] Tensor uniform(const Shape& shape, double low, double high);
  /// i32 in [low, high).
  [[nodiscard]] Tensor integers(const Shape& shape, int64_t low, int64_t high);
  /// Normal rows of Euclidean norm 1.
  [[nodiscard]] Tensor unit_rows(const Shape& shape);

  struct Normal {
    double mean, scale;
  };
  /// What a forward saves: reference_results of it or, for benchmarks, numbers of about their size: by operand.
  [[nodiscard]] std::vector<Tensor> saved(const Problem& forward, const std::map<size_t, Normal>& sizes);

 private:
  [[nodiscard]] std::span<double> drawn(const Tensor& tensor) const;

  Philox random_;
  uint64_t draws_ = 0;
  bool shortened_ = false;
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
