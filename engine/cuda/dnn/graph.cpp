#include "engine/cuda/dnn/graph.h"

#include <cudnn.h>

namespace tessera::cuda::dnn {
namespace {

/// Identifiers of values follow those of operands.
constexpr int64_t kFirstValue = 100;
constexpr int64_t kAlignment = 16;
constexpr double kQuickGelu = 1.702;

int mode_of(Pointwise function) {
  switch (function) {
    case Pointwise::add:
      return CUDNN_POINTWISE_ADD;
    case Pointwise::multiply:
      return CUDNN_POINTWISE_MUL;
    case Pointwise::copy:
      return CUDNN_POINTWISE_IDENTITY;
    case Pointwise::gelu:
      return CUDNN_POINTWISE_GELU_FWD;  // by erf
    case Pointwise::gelu_slope:
      return CUDNN_POINTWISE_GELU_BWD;
    case Pointwise::quick_gelu:
      return CUDNN_POINTWISE_SWISH_FWD;
    case Pointwise::quick_gelu_slope:
      return CUDNN_POINTWISE_SWISH_BWD;
  }
  return CUDNN_POINTWISE_IDENTITY;
}

}  // namespace

Graph::Tensor Graph::tensor(int64_t id, const Matrix& x, bool in_memory) {
  const std::array<int64_t, 3> extents{1, x.rows, x.columns};
  const std::array<int64_t, 3> strides{x.rows * x.row_stride, x.row_stride, x.column_stride};
  Descriptor& t = tensors_.emplace_back(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  t.set_number(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
  t.set_type(CUDNN_ATTR_TENSOR_DATA_TYPE, x.dtype);
  t.set_number(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kAlignment);
  t.set_numbers(CUDNN_ATTR_TENSOR_DIMENSIONS, extents);
  t.set_numbers(CUDNN_ATTR_TENSOR_STRIDES, strides);
  t.set_flag(CUDNN_ATTR_TENSOR_IS_VIRTUAL, !in_memory);
  t.finalize();
  return &t;
}

Graph::Tensor Graph::operand(Operand which, const Matrix& matrix) {
  return tensor(static_cast<int64_t>(which), matrix, true);
}

Graph::Tensor Graph::value() {
  return tensor(kFirstValue + values_++,
                {.rows = m_, .columns = n_, .row_stride = n_, .column_stride = 1, .dtype = DType::f32}, false);
}

Graph::Tensor Graph::product(Tensor x, Tensor w, int64_t m, int64_t n) {
  m_ = m;
  n_ = n;
  const Tensor result = value();
  Descriptor& settings = settings_.emplace_back(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  settings.set_type(CUDNN_ATTR_MATMUL_COMP_TYPE, DType::f32);
  settings.finalize();
  Descriptor& node = nodes_.emplace_back(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  node.set_descriptor(CUDNN_ATTR_OPERATION_MATMUL_DESC, settings);
  node.set_descriptor(CUDNN_ATTR_OPERATION_MATMUL_ADESC, *x);
  node.set_descriptor(CUDNN_ATTR_OPERATION_MATMUL_BDESC, *w);
  node.set_descriptor(CUDNN_ATTR_OPERATION_MATMUL_CDESC, *result);
  node.finalize();
  return result;
}

Graph::Tensor Graph::apply(Pointwise function, Tensor x, Tensor other) {
  const Tensor result = value();
  apply_to(result, function, x, other);
  return result;
}

void Graph::apply_to(Tensor result, Pointwise function, Tensor x, Tensor other) {
  Descriptor& settings = settings_.emplace_back(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  settings.set_choice(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode_of(function));
  settings.set_type(CUDNN_ATTR_POINTWISE_MATH_PREC, DType::f32);
  if (function == Pointwise::quick_gelu || function == Pointwise::quick_gelu_slope) {
    settings.set(CUDNN_ATTR_POINTWISE_SWISH_BETA, CUDNN_TYPE_DOUBLE, 1, &kQuickGelu);
  }
  settings.finalize();
  Descriptor& node = nodes_.emplace_back(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  node.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, settings);
  if (function == Pointwise::gelu_slope || function == Pointwise::quick_gelu_slope) {
    node.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_DYDESC, *x);
    node.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, *other);
    node.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_DXDESC, *result);
  } else {
    node.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, *x);
    if (other != nullptr) node.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *other);
    node.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, *result);
  }
  node.finalize();
}

void Graph::sum_rows(Tensor result, Tensor x) {
  Descriptor& settings = settings_.emplace_back(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  settings.set_choice(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, CUDNN_REDUCE_TENSOR_ADD);
  settings.set_type(CUDNN_ATTR_REDUCTION_COMP_TYPE, DType::f32);
  settings.set_flag(CUDNN_ATTR_REDUCTION_IS_DETERMINISTIC, true);
  settings.finalize();
  Descriptor& node = nodes_.emplace_back(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  node.set_descriptor(CUDNN_ATTR_OPERATION_REDUCTION_DESC, settings);
  node.set_descriptor(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, *x);
  node.set_descriptor(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, *result);
  node.finalize();
}

void Graph::finalize(bool any_rows) {
  std::vector<void*> raw;
  for (const Descriptor& node : nodes_) raw.push_back(node.raw());
  Descriptor& whole = whole_.emplace_back(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  whole.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<int64_t>(raw.size()), raw.data());
  whole.set_flag(CUDNN_ATTR_OPERATIONGRAPH_IS_DYNAMIC_SHAPE_ENABLED, any_rows);
  whole.finalize();
}

// --- requests --------------------------------------------------------------------------------------------------------

namespace {

Graph::Matrix rows_of(int64_t rows, int64_t columns, const Place& place) {
  return {.rows = rows, .columns = columns, .row_stride = place.row_stride, .column_stride = 1, .dtype = place.dtype};
}

/// The functions of an epilogue in the order of Product's formula; the last one writes y.
class Epilogue {
 public:
  Epilogue(Graph& graph, Graph::Tensor product, Graph::Tensor y) : graph_(graph), last_(product), y_(y) {}

  void then(Pointwise function, Graph::Tensor other = nullptr) {
    flush();
    next_ = function;
    other_ = other;
    waiting_ = true;
  }
  /// Also writes what there is so far to an operand.
  void save(Graph::Tensor operand) {
    flush();
    graph_.apply_to(operand, Pointwise::copy, last_);
  }
  /// Also sums the rows of what there is so far.
  void sum(Graph::Tensor operand) {
    flush();
    graph_.sum_rows(operand, last_);
  }
  void finish() { graph_.apply_to(y_, next_, last_, other_); }

 private:
  void flush() {
    if (waiting_) last_ = graph_.apply(next_, last_, other_);
    next_ = Pointwise::copy;
    other_ = nullptr;
    waiting_ = false;
  }

  Graph& graph_;
  Graph::Tensor last_, y_;
  Pointwise next_ = Pointwise::copy;  // not yet in the graph, because it may be the one that writes y
  Graph::Tensor other_ = nullptr;
  bool waiting_ = false;
};

}  // namespace

void build(const Request& r, int64_t m, Graph& g) {
  const Graph::Tensor x = g.operand(Operand::x, rows_of(m, r.k, {DType::bf16, r.x_stride}));
  Graph::Matrix right{.rows = r.k, .columns = r.n, .row_stride = r.w_stride, .column_stride = 1, .dtype = DType::bf16};
  if (r.w_by_rows) std::swap(right.row_stride, right.column_stride);
  const Graph::Tensor w = g.operand(Operand::w, right);
  const Graph::Tensor product = g.product(x, w, m, r.n);
  Epilogue epilogue(g, product, g.operand(Operand::y, rows_of(m, r.n, r.y)));
  const bool gelu = r.act == Act::gelu_erf;
  if (r.slope) {
    epilogue.then(gelu ? Pointwise::gelu_slope : Pointwise::quick_gelu_slope,
                  g.operand(Operand::pre, rows_of(m, r.n, r.pre)));
  } else {
    if (r.bias) epilogue.then(Pointwise::add, g.operand(Operand::bias, rows_of(1, r.n, {DType::f32, r.n})));
    if (r.pre) epilogue.save(g.operand(Operand::pre, rows_of(m, r.n, r.pre)));
    if (r.act != Act::none) epilogue.then(gelu ? Pointwise::gelu : Pointwise::quick_gelu);
    if (r.row_scale) epilogue.then(Pointwise::multiply, g.operand(Operand::row_scale, rows_of(m, 1, {DType::f32, 1})));
    if (r.residual) epilogue.then(Pointwise::add, g.operand(Operand::residual, rows_of(m, r.n, r.residual)));
  }
  if (r.column_sums) epilogue.sum(g.operand(Operand::column_sums, rows_of(1, r.n, {DType::f32, r.n})));
  epilogue.finish();
  g.finalize(!r.column_sums);
}

}  // namespace tessera::cuda::dnn
