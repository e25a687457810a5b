#pragma once

#include <deque>

#include "engine/cuda/dnn/library.h"
#include "engine/cuda/dnn/request.h"

namespace tessera::cuda::dnn {

enum class Pointwise : uint8_t { add, multiply, copy, gelu, gelu_slope, quick_gelu, quick_gelu_slope };

/// A product of matrices and what is done to its result, one node after the other. Everything between operands is f32
/// and lies nowhere.
class Graph {
 public:
  using Tensor = const Descriptor*;

  /// An operand [rows, columns]. An extent of 1 stands for all rows, or all columns.
  struct Matrix {
    int64_t rows, columns, row_stride, column_stride;
    DType dtype;
  };
  [[nodiscard]] Tensor operand(Operand which, const Matrix& matrix);

  /// x [m, k] · w [k, n].
  [[nodiscard]] Tensor product(Tensor x, Tensor w, int64_t m, int64_t n);
  /// A function of the last value. add and multiply take a second tensor, slopes the value at which they are taken.
  [[nodiscard]] Tensor apply(Pointwise function, Tensor x, Tensor other = nullptr);
  /// The same into an operand.
  void apply_to(Tensor result, Pointwise function, Tensor x, Tensor other = nullptr);

  /// Sums over the rows into an operand [1, columns], always in the same order.
  void sum_rows(Tensor result, Tensor x);

  /// Closes the graph. One kernel can then serve any number of rows, unless it is a graph for one.
  void finalize(bool any_rows);
  /// The whole as the library sees it.
  [[nodiscard]] const Descriptor& whole() const { return whole_.front(); }

 private:
  [[nodiscard]] Tensor value();
  Tensor tensor(int64_t id, const Matrix& matrix, bool in_memory);

  std::deque<Descriptor> tensors_, settings_, nodes_, whole_;
  int64_t m_ = 0, n_ = 0, values_ = 0;
};

/// The graph of a request for this many rows.
void build(const Request& request, int64_t rows, Graph& graph);

}  // namespace tessera::cuda::dnn
