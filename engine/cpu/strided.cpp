#include "engine/cpu/strided.h"

#include <algorithm>
#include <cstring>

namespace tessera::cpu {
namespace {

constexpr int64_t kTaskElements = 16384;
constexpr int64_t kShortRow = 32;  // shorter rows go through a buffer together
constexpr int64_t kStagedElements = 512;
constexpr int64_t kTileColumns = 32;
constexpr int64_t kTileRows = 16;

using Offsets = std::array<int64_t, kMaxStridedOperands>;

/// The common layout with extents of 1 dropped, dimensions ordered by the result's stride and merged where all operands
/// allow it. Strides in bytes.
struct Layout {
  int operands = 0;
  int rank = 0;
  std::array<int64_t, kMaxRank> shape{};
  std::array<Offsets, kMaxRank> strides{};

  explicit Layout(std::span<const StridedOperand> views) : operands(static_cast<int>(views.size())) {
    const View& result = views.back().view;
    for (int d = 0; d < result.rank; ++d) {
      if (result.size(d) == 1) continue;
      const auto at = static_cast<size_t>(rank++);
      shape[at] = result.size(d);
      for (size_t i = 0; i < views.size(); ++i) {
        strides[at][i] = views[i].view.stride(d) * static_cast<int64_t>(size_of(views[i].view.dtype));
      }
    }
    sort();
    merge();
  }

  [[nodiscard]] int64_t numel() const {
    int64_t n = 1;
    for (int d = 0; d < rank; ++d) n *= shape[static_cast<size_t>(d)];
    return n;
  }
  /// Byte offsets of element `index`, counted in row-major order over the first `dims` dimensions.
  [[nodiscard]] Offsets offsets(int64_t index, int dims) const {
    Offsets result{};
    for (int d = dims - 1; d >= 0; --d) {
      const auto at = static_cast<size_t>(d);
      const int64_t i = index % shape[at];
      index /= shape[at];
      for (size_t o = 0; o < result.size(); ++o) result[o] += i * strides[at][o];
    }
    return result;
  }
  void move_dimension(int from, int to) {
    const auto rotate = [&](auto& a) {
      if (from < to) {
        std::rotate(a.begin() + from, a.begin() + from + 1, a.begin() + to + 1);
      } else {
        std::rotate(a.begin() + to, a.begin() + from, a.begin() + from + 1);
      }
    };
    rotate(shape);
    rotate(strides);
  }

 private:
  void sort() {
    const auto last = static_cast<size_t>(operands - 1);
    for (int d = 1; d < rank; ++d) {
      int to = d;
      while (to > 0 &&
             std::abs(strides[static_cast<size_t>(to - 1)][last]) < std::abs(strides[static_cast<size_t>(d)][last])) {
        --to;
      }
      move_dimension(d, to);
    }
  }
  void merge() {
    int kept = 0;
    for (int d = 1; d < rank; ++d) {
      const auto outer = static_cast<size_t>(kept);
      const auto inner = static_cast<size_t>(d);
      bool adjacent = true;
      for (size_t o = 0; o < static_cast<size_t>(operands); ++o) {
        adjacent = adjacent && strides[outer][o] == strides[inner][o] * shape[inner];
      }
      const int64_t extent = adjacent ? shape[outer] * shape[inner] : shape[inner];
      if (!adjacent) ++kept;
      shape[static_cast<size_t>(kept)] = extent;
      strides[static_cast<size_t>(kept)] = strides[inner];
    }
    rank = rank == 0 ? 0 : kept + 1;
  }
};

void* advance(void* p, int64_t bytes) { return static_cast<std::byte*>(p) + bytes; }

/// Copies rows × columns elements of `size` bytes between strided memory and a dense buffer, along the shorter strides.
template <size_t size>
void stage(std::byte* memory, int64_t row_stride, int64_t column_stride, std::byte* buffer, int64_t rows,
           int64_t columns, bool to_buffer) {
  int64_t buffer_row = columns * static_cast<int64_t>(size);
  int64_t buffer_column = static_cast<int64_t>(size);
  if (std::abs(row_stride) < std::abs(column_stride)) {
    std::swap(row_stride, column_stride);
    std::swap(buffer_row, buffer_column);
    std::swap(rows, columns);
  }
  for (int64_t r = 0; r < rows; ++r) {
    std::byte* m = memory + r * row_stride;
    std::byte* b = buffer + r * buffer_row;
    if (to_buffer) {
      for (int64_t c = 0; c < columns; ++c) std::memcpy(b + c * buffer_column, m + c * column_stride, size);
    } else {
      for (int64_t c = 0; c < columns; ++c) std::memcpy(m + c * column_stride, b + c * buffer_column, size);
    }
  }
}

using Stage = void (*)(std::byte*, int64_t, int64_t, std::byte*, int64_t, int64_t, bool);
Stage stage_of(DType dtype) {
  switch (size_of(dtype)) {
    case 1:
      return stage<1>;
    case 2:
      return stage<2>;
    case 4:
      return stage<4>;
    default:
      return stage<8>;
  }
}

using Body = FunctionRef<void(void* const*, int64_t)>;

void run_rows(Context& context, std::span<const StridedOperand> operands, const Layout& layout, Body body) {
  const int64_t inner = layout.rank == 0 ? 1 : layout.shape[static_cast<size_t>(layout.rank - 1)];
  const int64_t rows = layout.numel() / inner;
  const int64_t pieces = (inner + kTaskElements - 1) / kTaskElements;
  const int64_t grain = std::max<int64_t>(1, kTaskElements / inner);
  parallel_for(context, rows * pieces, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t task = begin; task < end; ++task) {
      const Offsets offsets = layout.offsets(task / pieces, layout.rank - 1);
      const int64_t first = task % pieces * kTaskElements;
      std::array<void*, kMaxStridedOperands> pointers{};
      for (size_t o = 0; o < operands.size(); ++o) {
        const View& view = operands[o].view;
        pointers[o] = advance(view.pointer, offsets[o] + first * static_cast<int64_t>(size_of(view.dtype)));
      }
      body(pointers.data(), std::min(kTaskElements, inner - first));
    }
  });
}

/// Two-dimensional tiles: columns along the result's densest dimension, rows along the first operand's.
void run_tiles(Context& context, std::span<const StridedOperand> operands, Layout layout, Body body) {
  if (layout.rank < 2) {  // a second dimension of extent 1
    layout.move_dimension(kMaxRank - 1, 0);
    layout.shape[0] = 1;
    layout.strides[0] = {};
    layout.rank = 2;
  }
  int dense = layout.rank - 2;
  for (int d = 0; d < layout.rank - 2; ++d) {
    const int64_t here = std::abs(layout.strides[static_cast<size_t>(d)][0]);
    if (here != 0 && here < std::abs(layout.strides[static_cast<size_t>(dense)][0])) dense = d;
  }
  layout.move_dimension(dense, layout.rank - 2);
  const auto row_dim = static_cast<size_t>(layout.rank - 2);
  const auto column_dim = static_cast<size_t>(layout.rank - 1);
  const int64_t all_rows = layout.shape[row_dim];
  const int64_t all_columns = layout.shape[column_dim];
  int64_t columns = std::min(all_columns, kTileColumns);
  const int64_t rows = std::min(all_rows, std::max(kTileRows, kStagedElements / columns));
  if (rows < kTileRows) columns = std::min(all_columns, kStagedElements / rows);
  const int64_t down = (all_rows + rows - 1) / rows;
  const int64_t across = (all_columns + columns - 1) / columns;
  const int64_t outer = layout.numel() / (all_rows * all_columns);
  const int64_t grain = std::max<int64_t>(1, kTaskElements / (rows * columns));
  parallel_for(context, outer * down * across, grain, [&](int64_t begin, int64_t end, int) {
    alignas(64) std::byte buffers[kMaxStridedOperands][kStagedElements * sizeof(double)];
    for (int64_t tile = begin; tile < end; ++tile) {
      const Offsets offsets = layout.offsets(tile / (down * across), layout.rank - 2);
      const int64_t row = tile / across % down * rows;
      const int64_t column = tile % across * columns;
      const int64_t height = std::min(rows, all_rows - row);
      const int64_t width = std::min(columns, all_columns - column);
      std::array<void*, kMaxStridedOperands> pointers{};
      const auto move = [&](size_t o, bool to_buffer) {
        const int64_t row_stride = layout.strides[row_dim][o];
        const int64_t column_stride = layout.strides[column_dim][o];
        void* memory = advance(operands[o].view.pointer, offsets[o] + row * row_stride + column * column_stride);
        stage_of(operands[o].view.dtype)(static_cast<std::byte*>(memory), row_stride, column_stride, buffers[o], height,
                                         width, to_buffer);
      };
      for (size_t o = 0; o < operands.size(); ++o) {
        pointers[o] = buffers[o];
        if (operands[o].read) move(o, true);
      }
      body(pointers.data(), height * width);
      for (size_t o = 0; o < operands.size(); ++o) {
        if (operands[o].write) move(o, false);
      }
    }
  });
}

}  // namespace

void for_each_run(Context& context, std::span<const StridedOperand> operands, Body body) {
  if (operands.back().view.numel() == 0) return;
  const Layout layout(operands);
  bool dense = true;
  for (size_t o = 0; o < operands.size() && layout.rank > 0; ++o) {
    dense = dense && layout.strides[static_cast<size_t>(layout.rank - 1)][o] ==
                         static_cast<int64_t>(size_of(operands[o].view.dtype));
  }
  const bool short_rows = layout.rank > 1 && layout.shape[static_cast<size_t>(layout.rank - 1)] < kShortRow;
  if (dense && !short_rows) {
    run_rows(context, operands, layout, body);
  } else {
    run_tiles(context, operands, layout, body);
  }
}

}  // namespace tessera::cpu
