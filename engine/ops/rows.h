#pragma once

#include "engine/ops/kernel.h"
#include "engine/tensor/tensor.h"

namespace tessera {

/// y[r] = (index[r] ≥ 0 ? x[index[r]] : fill) + (table ? table[table_index[r]] : 0), rows of D elements. index and
/// table_index i32 [R]; an absent index means r itself. x [S, D], fill [1, D], table [T, D]. This op serves embeddings,
/// CLS and mask tokens, positions, un-shuffling and the choice of rows. Equal floating dtypes; y may be bf16 where x is
/// f32 and the other way round.
struct GatherRowsArgs {
  View x, index{}, fill{}, table{}, table_index{}, y;
};
/// dx[index[r]] (+)= dy[r], added for each row in an order that follows from index and the shapes (ascending r on the
/// CPU). `order` i32 [R] is a stable permutation of [0, R) that sorts index. With overwrite, rows that no index names
/// become zero. dx is f32, f64 or bf16; repeated rows are summed in f32. Entries with index < 0 are skipped.
struct ScatterAddRowsArgs {
  View dy, index, order, dx;
  GradMode mode;
};

struct RowKernels {
  Kernel<GatherRowsArgs> gather;
  Kernel<ScatterAddRowsArgs> scatter_add;
};

/// The rows to take, and what the backward needs to scatter to them. The constructor checks the entries. The entries
/// are on the host; a device's copy is made when an op first needs it, and copies of a RowIndex share it.
class RowIndex {
 public:
  RowIndex() = default;
  /// Entries are in [−1, source_rows); −1 means the fill row. Throws ShapeError for any other entry.
  RowIndex(std::span<const int32_t> index, int64_t source_rows);
  explicit operator bool() const { return static_cast<bool>(index_); }
  /// i32 [rows], on the host. Absent for a default-constructed index.
  [[nodiscard]] Tensor index() const { return index_ ? index_->host : Tensor(); }
  /// The stable sorting permutation, likewise.
  [[nodiscard]] Tensor order() const { return order_ ? order_->host : Tensor(); }
  /// Both, where kernels of a device can read them.
  [[nodiscard]] Tensor index_on(Device device) const { return index_ ? index_->on(device) : Tensor(); }
  [[nodiscard]] Tensor order_on(Device device) const { return order_ ? order_->on(device) : Tensor(); }
  [[nodiscard]] int64_t rows() const { return index_ ? index_->host.numel() : 0; }
  [[nodiscard]] int64_t source_rows() const { return source_rows_; }
  [[nodiscard]] bool has_fill() const { return has_fill_; }
  /// Index 0 for the rows that take the fill row and −1 elsewhere. Scattering with it sums the gradient of the fill
  /// row.
  [[nodiscard]] RowIndex fill_rows() const;

 private:
  std::shared_ptr<TwoSided> index_, order_;
  int64_t source_rows_ = 0;
  bool has_fill_ = false;
};

struct GatherOptions {
  Tensor fill{};           // [1, D], required where the index has −1
  Tensor table{};          // [T, D]
  RowIndex table_index{};  // as many rows as the result
  DType out_dtype = DType::f32;
};
/// See GatherRowsArgs. An absent `index` takes the rows of x in order.
[[nodiscard]] Tensor gather_rows(const Tensor& x, const RowIndex& index, const GatherOptions& options);
void scatter_add_rows(const Tensor& dy, const RowIndex& index, const GradOut& dx);

}  // namespace tessera
