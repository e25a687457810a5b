#pragma once

#include "autograd/variable.h"
#include "engine/ops/rows.h"

namespace tessera::autograd {

struct GatherInputs {
  Var fill{};   // [1, D], where the index has −1
  Var table{};  // [T, D], added by table_index
  RowIndex table_index{};
  DType out_dtype = DType::f32;
};
/// y[r] = (index[r] ≥ 0 ? x[index[r]] : fill) + table[table_index[r]]; see engine/ops/rows.h. Gradients to x, fill,
/// table.
[[nodiscard]] Var gather_rows(const Var& x, const RowIndex& index, const GatherInputs& inputs = {});

/// The rows of a [R, D] followed by those of b [S, D], of one type: [R + S, D].
[[nodiscard]] Var concatenate_rows(const Var& a, const Var& b);

}  // namespace tessera::autograd
