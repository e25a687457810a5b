#include "autograd/ops/rows.h"

#include <array>

#include "autograd/tape.h"
#include "engine/ops/copy.h"

namespace tessera::autograd {
namespace {

class GatherRowsNode final : public Node {
 public:
  GatherRowsNode(const Var& x, RowIndex index, const GatherInputs& in)
      : x_(x.slot),
        fill_(in.fill.slot),
        table_(in.table.slot),
        index_(std::move(index)),
        table_index_(in.table_index) {}
  [[nodiscard]] std::string_view name() const override { return "gather_rows"; }
  [[nodiscard]] size_t saved_bytes() const override {
    constexpr size_t kEach = 2 * sizeof(int32_t);  // the index and its order
    return kEach * static_cast<size_t>(index_.rows() + table_index_.rows());
  }

  void backward(Tape& tape, const Tensor& dy) override {
    if (index_) {
      scatter_add_rows(dy, index_, tape.sink(x_));
      if (fill_ && index_.has_fill()) scatter_add_rows(dy, index_.fill_rows(), tape.sink(fill_));
    } else {
      tape.give(x_, dy);
    }
    if (table_) scatter_add_rows(dy, table_index_, tape.sink(table_));
  }

 private:
  Slot x_, fill_, table_;
  RowIndex index_, table_index_;
};

class ConcatenateRowsNode final : public Node {
 public:
  ConcatenateRowsNode(const Var& a, const Var& b) : a_(a.slot), b_(b.slot), rows_a_(a.value.size(0)) {}
  [[nodiscard]] std::string_view name() const override { return "concatenate_rows"; }
  [[nodiscard]] size_t saved_bytes() const override { return 0; }
  void backward(Tape& tape, const Tensor& dy) override {
    tape.give(a_, dy.slice(0, 0, rows_a_));
    tape.give(b_, dy.slice(0, rows_a_, dy.size(0) - rows_a_));
  }

 private:
  Slot a_, b_;
  int64_t rows_a_;
};

}  // namespace

Var gather_rows(const Var& x, const RowIndex& index, const GatherInputs& in) {
  Tensor y = tessera::gather_rows(
      x.value, index,
      {.fill = in.fill.value, .table = in.table.value, .table_index = in.table_index, .out_dtype = in.out_dtype});
  if (Tape* tape = recording({&x, &in.fill, &in.table})) {
    return tape->record(std::make_unique<GatherRowsNode>(x, index, in), std::move(y));
  }
  return y;
}

Var concatenate_rows(const Var& a, const Var& b) {
  Tensor y = tessera::concatenate_rows(std::array{a.value, b.value});
  if (Tape* tape = recording({&a, &b})) {
    return tape->record(std::make_unique<ConcatenateRowsNode>(a, b), std::move(y));
  }
  return y;
}

}  // namespace tessera::autograd
