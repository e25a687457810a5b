#include "engine/ops/rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "engine/ops/check.h"
#include "engine/ops/kernels.h"

namespace tessera {
namespace {

/// Sorts the entries' positions by value, stably. Ascending input, the usual case, costs one pass.
std::vector<int32_t> sorted_order(std::span<const int32_t> index, int64_t source_rows) {
  std::vector<int32_t> order(index.size());
  if (std::ranges::is_sorted(index)) {
    std::iota(order.begin(), order.end(), 0);
    return order;
  }
  std::vector<int32_t> start(static_cast<size_t>(source_rows) + 2, 0);  // value v, from −1 on, starts at start[v + 1]
  for (const int64_t i : index) ++start[static_cast<size_t>(i + 2)];
  std::partial_sum(start.begin(), start.end(), start.begin());
  for (size_t r = 0; r < index.size(); ++r) {
    order[static_cast<size_t>(start[static_cast<size_t>(int64_t{index[r]} + 1)]++)] = static_cast<int32_t>(r);
  }
  return order;
}

}  // namespace

RowIndex::RowIndex(std::span<const int32_t> index, int64_t source_rows) : source_rows_(source_rows) {
  for (const int32_t i : index) {
    if (i < -1 || i >= source_rows) {
      throw ShapeError(fmt::format("rows: index {} outside [-1, {})", i, source_rows));
    }
    has_fill_ = has_fill_ || i < 0;
  }
  const auto count = static_cast<int64_t>(index.size());
  index_ = std::make_shared<TwoSided>(TwoSided{.host = Tensor::from(index, {count})});
  order_ = std::make_shared<TwoSided>(TwoSided{.host = Tensor::from(sorted_order(index, source_rows), {count})});
}

RowIndex RowIndex::fill_rows() const {
  std::vector<int32_t> entries(static_cast<size_t>(rows()));
  if (!index_) return {entries, 1};
  const auto index = index_->host.data<int32_t>();
  std::ranges::transform(index, entries.begin(), [](int32_t i) { return i < 0 ? 0 : -1; });
  return {entries, 1};
}

Tensor gather_rows(const Tensor& x, const RowIndex& index, const GatherOptions& o) {
  constexpr const char* kOp = "gather_rows";
  Context& c = check::device(kOp, {{"x", x}}, {{"fill", o.fill}, {"table", o.table}});
  check::rank(kOp, {"x", x}, 2);
  check::dtype(kOp, {"x", x}, {DType::f32, DType::bf16, DType::f64});
  check::contiguous(kOp, {{"x", x}, {"fill", o.fill}, {"table", o.table}});
  if (index && index.source_rows() != x.size(0)) {
    throw ShapeError(fmt::format("{}: x has {} rows, expected {} (the index)", kOp, x.size(0), index.source_rows()));
  }
  const int64_t rows = index ? index.rows() : x.size(0);
  if (index.has_fill() && !o.fill) throw ShapeError("gather_rows: the index has -1 and fill is absent");
  if (o.fill) {
    check::shape(kOp, {"fill", o.fill}, {1, x.size(1)}, "one row of x");
    check::dtype(kOp, {"fill", o.fill}, {x.dtype()});
  }
  if (o.table) {
    check::shape(kOp, {"table", o.table}, {o.table_index.source_rows(), x.size(1)}, "the table index, columns of x");
    check::dtype(kOp, {"table", o.table}, {x.dtype()});
    if (o.table_index.rows() != rows || o.table_index.has_fill()) {
      throw ShapeError(
          fmt::format("{}: table_index has {} rows, expected {} without -1", kOp, o.table_index.rows(), rows));
    }
  }
  Tensor y = Tensor::empty({rows, x.size(1)}, o.out_dtype, x.device());
  if (x.dtype() == DType::f64) {
    check::dtype(kOp, {"y", y}, {DType::f64});
  } else {
    check::dtype(kOp, {"y", y}, {DType::f32, DType::bf16});
  }
  c.kernels().rows.gather(c, {.x = x,
                              .index = index.index_on(c.device()),
                              .fill = o.fill,
                              .table = o.table,
                              .table_index = o.table ? o.table_index.index_on(c.device()) : Tensor(),
                              .y = y});
  return y;
}

void scatter_add_rows(const Tensor& dy, const RowIndex& index, const GradOut& dx) {
  if (!dx) return;
  constexpr const char* kOp = "scatter_add_rows";
  Context& c = check::device(kOp, {{"dy", dy}, {"dx", dx.tensor}});
  check::shape(kOp, {"dy", dy}, {index.rows(), -1}, "the index");
  check::shape(kOp, {"dx", dx.tensor}, {index.source_rows(), dy.size(1)}, "source rows, columns of dy");
  check::contiguous(kOp, {{"dy", dy}, {"dx", dx.tensor}});
  if (dy.dtype() == DType::f64 || dx.tensor.dtype() == DType::f64) check::dtype(kOp, {"dy", dy}, {dx.tensor.dtype()});
  c.kernels().rows.scatter_add(c, {.dy = dy,
                                   .index = index.index_on(c.device()),
                                   .order = index.order_on(c.device()),
                                   .dx = dx.tensor,
                                   .mode = dx.mode});
}

}  // namespace tessera
