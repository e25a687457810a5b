#include "autograd/ops/rows.h"

#include "autograd/tape.h"

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
    return bytes_of({&index_.index(), &index_.order(), &table_index_.index(), &table_index_.order()});
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

}  // namespace

Var gather_rows(const Var& x, const RowIndex& index, const GatherInputs& in) {
  Tensor y = tessera::gather_rows(x.value, index, {in.fill.value, in.table.value, in.table_index, in.out_dtype});
  if (Tape* tape = recording({&x, &in.fill, &in.table})) {
    return tape->record(std::make_unique<GatherRowsNode>(x, index, in), std::move(y));
  }
  return y;
}

}  // namespace tessera::autograd
