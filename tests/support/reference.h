#pragma once

#include "engine/ops/kernels.h"
#include "tests/support/guarded.h"

namespace tessera::test {

/// The naive reference of every slot: straight loops with f64 sums over views of any strides and types. The type of an
/// operand matters only where the contract says so (a bf16 product rounds its f32 weight). Outputs may be f64 for
/// inputs of any type.
[[nodiscard]] const KernelTable& reference_kernels();

namespace reference {

/// A dense f64 copy of a view; false when the view is absent.
class Array {
 public:
  Array() = default;
  explicit Array(const Shape& shape) : shape_(shape), values_(static_cast<size_t>(shape.numel())), present_(true) {}
  explicit Array(const View& view);

  explicit operator bool() const { return present_; }
  [[nodiscard]] int64_t size(int dim) const { return shape_[dim]; }
  [[nodiscard]] const Shape& shape() const { return shape_; }
  template <class... Index>
  [[nodiscard]] double& operator()(Index... index) {
    return values_[at(index...)];
  }
  template <class... Index>
  [[nodiscard]] double operator()(Index... index) const {
    return values_[at(index...)];
  }
  /// All elements, row-major.
  [[nodiscard]] std::vector<double>& values() { return values_; }
  [[nodiscard]] const std::vector<double>& values() const { return values_; }

 private:
  template <class... Index>
  [[nodiscard]] size_t at(Index... index) const {
    int64_t offset = 0;
    int d = 0;
    ((offset = offset * shape_[d++] + static_cast<int64_t>(index)), ...);
    return static_cast<size_t>(offset);
  }
  Shape shape_;
  std::vector<double> values_;
  bool present_ = false;
};

[[nodiscard]] Shape shape_of(const View& view);
/// Stores or adds an array; does nothing for an absent view.
void write(const Array& values, const View& to, GradMode mode = GradMode::overwrite);
/// An activation and its slope, from the standard library's erfc and exp.
[[nodiscard]] double gelu_erf(double x);
[[nodiscard]] double gelu_erf_slope(double x);
[[nodiscard]] double quick_gelu(double x);
[[nodiscard]] double quick_gelu_slope(double x);

[[nodiscard]] double log_sum_exp(const std::vector<double>& x);

extern const CopyKernels kCopy;
extern const PointwiseKernels kPointwise;
extern const ReduceKernels kReduce;
extern const LinearKernels kLinear;
extern const MatmulKernels kMatmul;
extern const NormKernels kNorm;
extern const AttentionKernels kAttention;
extern const RowKernels kRows;
extern const PatchKernels kPatches;
extern const LossKernels kLoss;
extern const PatchSentenceKernels kPatchSentence;
extern const OptimizerKernels kOptimizer;

}  // namespace reference
}  // namespace tessera::test
