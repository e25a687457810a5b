#include "engine/ops/linear.h"

#include "engine/cpu/host.h"
#include "engine/cpu/tables.h"

// The rest lies inside the region of the instruction set.
#include "engine/cpu/simd/isa_begin.h"

#include "engine/cpu/gemm/accumulate.h"
#include "engine/cpu/gemm/product.h"
#include "engine/cpu/simd/column_sums.h"
#include "engine/cpu/simd/math.h"

namespace tessera::cpu::TESSERA_ISA {
namespace {

using gemm::ceil_div;
using gemm::Compute;
using gemm::Operand;
using gemm::Prefetch;
using gemm::RightSide;
using gemm::Tile;
using gemm::TilePlace;

/// The register tile of products of T.
template <class T>
using TileOf = Tile<gemm::Unit<T>>;

/// Act::none.
struct Identity {
  template <class V>
  static TESSERA_INLINE V value(V x) {
    return x;
  }
  template <class V>
  static TESSERA_INLINE V slope(V) {
    return V(1.0);
  }
  template <class V>
  static TESSERA_INLINE V slope(V x, V& f) {
    f = x;
    return V(1.0);
  }
};

/// A row-major matrix; null where absent.
template <class T>
struct Matrix {
  T* data = nullptr;
  int64_t stride = 0;

  explicit Matrix(const View& view) : data(view.data<T>()), stride(view ? view.stride(0) : 0) {}
  [[nodiscard]] T* at(int64_t row, int64_t column) const { return data + row * stride + column; }
  [[nodiscard]] int64_t stride_bytes() const { return stride * static_cast<int64_t>(sizeof(T)); }
};

/// Prefetches the cache lines of the result and of another matrix, which may be absent.
template <class Y, class O>
Prefetch prefetch_of(const Matrix<Y>& y, const Matrix<O>& other, int64_t row, int64_t column) {
  Prefetch p{.first = y.at(row, column), .stride = y.stride_bytes()};
  if (other.data != nullptr) {
    p.other = other.at(row, column);
    p.other_stride = other.stride_bytes();
  }
  return p;
}

/// out[row] = the scale of the row's segment.
template <class E>
void expand_row_scale(const Segments& segments, const E* scale, E* out) {
  for (int64_t s = 0; s < segments.count; ++s) {
    for (int64_t r = segments.begin(s); r < segments.end(s); ++r) out[r] = scale[s];
  }
}

using BfUnit = gemm::Unit<bfloat16>;

/// bf16 panels of the right side [n, k], rounded from f32: [panel][units of k][kColumns].
void pack_bf16(Context& context, const Operand<float>& rows, int64_t n, int64_t k, bfloat16* out) {
  constexpr int kColumns = Tile<BfUnit>::kColumns;
  const int64_t grain = max_of(1, kGrain / max_of(1, k * kColumns));
  parallel_for(context, ceil_div(n, kColumns), grain, [&](int64_t begin, int64_t end, int) {
    if constexpr (gemm::UnitTraits<BfUnit>::kSteps == 2) {
      const int64_t depth = gemm::units<BfUnit>(k);
      const int64_t count = min_of(end * kColumns, n) - begin * kColumns;
      auto* pairs = reinterpret_cast<BfUnit*>(out) + begin * depth * kColumns;
      gemm::pack_panels<kColumns>(rows, begin * kColumns, count, 0, depth, k, pairs, depth * kColumns);
    } else {
      constexpr int64_t kSteps = 64;
      alignas(64) float buffer[kSteps * kColumns];
      for (int64_t panel = begin; panel < end; ++panel) {
        const int64_t columns = min_of(kColumns, n - panel * kColumns);
        for (int64_t first = 0; first < k; first += kSteps) {
          const int64_t steps = min_of(kSteps, k - first);
          gemm::pack_panels<kColumns>(rows, panel * kColumns, columns, first, steps, k, buffer, kSteps * kColumns);
          bfloat16* to = out + (panel * k + first) * kColumns;
          sweep<VecF>(steps * kColumns, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
            store(load<VecF>(buffer + i, count), to + i, count);
          });
        }
      }
    }
  });
}

/// w [N,K] as the right side of a product: its rows for x W^T, its columns for dy W.
template <class T>
Operand<T> weight_rows(const View& w, Side side) {
  if (side == Side::forward) return {w.data<const T>(), w.stride(0), 1};
  return {w.data<const T>(), 1, w.stride(0)};
}

size_t pack_bytes(int64_t n, int64_t k, DType compute, Side side) {
  if (compute != DType::bf16) return 0;
  const int64_t columns = side == Side::forward ? n : k;
  const int64_t steps = side == Side::forward ? k : n;
  constexpr int kColumns = Tile<BfUnit>::kColumns;
  constexpr int kSteps = gemm::UnitTraits<BfUnit>::kSteps;
  const int64_t elements = ceil_div(columns, kColumns) * kColumns * gemm::units<BfUnit>(steps) * kSteps;
  return static_cast<size_t>(elements) * sizeof(bfloat16);
}

void pack(Context& context, const PackArgs& a) {
  if (a.compute != DType::bf16) return;
  const int64_t n = a.w.size(0);
  const int64_t k = a.w.size(1);
  if (a.forward) pack_bf16(context, weight_rows<float>(a.w, Side::forward), n, k, a.forward.data<bfloat16>());
  if (a.grad_input) pack_bf16(context, weight_rows<float>(a.w, Side::grad_input), k, n, a.grad_input.data<bfloat16>());
}

/// Multiplies left [m, k] by w and gives the tiles to an epilogue. In bf16 the product reads bf16 panels, which are
/// kept ones or made here.
template <class T>
void product_with_weight(Context& context, const View& left, const View& w, Side side, const View& kept,
                         const gemm::Epilogue<Compute<T>>& epilogue) {
  const int64_t m = left.size(0);
  const int64_t k = left.size(1);
  const int64_t n = w.size(side == Side::forward ? 0 : 1);
  const Operand<T> a{left.data<const T>(), left.stride(0), 1};
  if constexpr (sizeof(T) == sizeof(bfloat16)) {
    const Scratch made(context, kept ? 0 : pack_bytes(w.size(0), w.size(1), DType::bf16, side));
    if (!kept) pack_bf16(context, weight_rows<float>(w, side), n, k, made.template as<bfloat16>());
    const auto* panels = kept ? kept.data<const bfloat16>() : made.template as<bfloat16>();
    gemm::product(context, m, n, k, a, RightSide<T>{.rows = {}, .panels = panels}, epilogue);
  } else {
    gemm::product(context, m, n, k, a, RightSide<T>{.rows = weight_rows<T>(w, side)}, epilogue);
  }
}

// --- forward ---------------------------------------------------------------------------------------------------------

/// y = residual + row_scale · act(sum + bias), pre = sum + bias. T: type of pre, Y of y, R of the residual.
template <class T, class Y, class R, class A>
struct ForwardEpilogue {
  using E = Compute<T>;
  using V = typename VecOf<T>::Type;
  static constexpr int kColumns = TileOf<T>::kColumns;
  const E* bias;
  const E* row_scale;  // one per row
  Matrix<const R> residual;
  Matrix<T> pre;
  Matrix<Y> y;

  TESSERA_INLINE void store(const E* tile, const TilePlace& p, int columns) const {
    const E* b = bias == nullptr ? nullptr : bias + p.column;
    const R* r = residual.data == nullptr ? nullptr : residual.at(p.row, p.column);
    T* before = pre.data == nullptr ? nullptr : pre.at(p.row, p.column);
    Y* to = y.at(p.row, p.column);
    for (int64_t i = 0; i < p.rows; ++i, tile += kColumns, to += y.stride) {
      const V scale(row_scale != nullptr ? row_scale[p.row + i] : E(1));
      sweep<V>(columns, [&](int64_t j, auto count) TESSERA_INLINE_BODY {
        V x = load<V>(tile + j, count);
        if (b != nullptr) x += load<V>(b + j, count);
        if (before != nullptr) cpu::TESSERA_ISA::store(x, before + j, count);
        x = A::value(x);
        if (row_scale != nullptr) x = x * scale;
        if (r != nullptr) x += load<V>(r + j, count);
        cpu::TESSERA_ISA::store(x, to + j, count);
      });
      if (before != nullptr) before += pre.stride;
      if (r != nullptr) r += residual.stride;
    }
  }
  [[nodiscard]] Prefetch output(int64_t row, int64_t column) const {
    return pre.data != nullptr ? prefetch_of(y, pre, row, column) : prefetch_of(y, residual, row, column);
  }
};

template <class T, class Y, class R, class A>
void forward_with(Context& context, const LinearArgs& a) {
  using E = Compute<T>;
  const Scratch scales(context, a.row_scale ? static_cast<size_t>(a.y.size(0)) * sizeof(E) : 0);
  if (a.row_scale) expand_row_scale(a.segments, a.row_scale.data<const E>(), scales.template as<E>());
  const ForwardEpilogue<T, Y, R, A> epilogue{.bias = a.bias.data<const E>(),
                                             .row_scale = a.row_scale ? scales.template as<E>() : nullptr,
                                             .residual = Matrix<const R>(a.residual),
                                             .pre = Matrix<T>(a.pre),
                                             .y = Matrix<Y>(a.y)};
  product_with_weight<T>(context, a.x, a.w, Side::forward, a.pack, gemm::epilogue_of<E>(epilogue));
}

template <class T, class Y, class R>
void forward_as(Context& context, const LinearArgs& a) {
  switch (a.act) {
    case Act::none:
      return forward_with<T, Y, R, Identity>(context, a);
    case Act::gelu_erf:
      return forward_with<T, Y, R, functors::GeluErf>(context, a);
    case Act::quick_gelu:
      return forward_with<T, Y, R, functors::QuickGelu>(context, a);
  }
}

void forward(Context& context, const LinearArgs& a) {
  if (a.x.dtype == DType::f64) return forward_as<double, double, double>(context, a);
  if (a.x.dtype == DType::f32) return forward_as<float, float, float>(context, a);
  if (a.y.dtype == DType::f32) return forward_as<bfloat16, float, float>(context, a);
  if (a.residual.dtype == DType::bf16) return forward_as<bfloat16, bfloat16, bfloat16>(context, a);
  return forward_as<bfloat16, bfloat16, float>(context, a);
}

// --- gradient of the input -------------------------------------------------------------------------------------------

/// dx (+)= sum · act'(pre), value = act(pre), and the column sums of a tile as partials [tile][columns]. T: type of pre
/// and value, D of dx.
template <class T, class D, class A>
struct GradInputEpilogue {
  using E = Compute<T>;
  using V = typename VecOf<T>::Type;
  static constexpr int kColumns = TileOf<T>::kColumns;
  Matrix<const T> pre;
  Matrix<T> value;
  Matrix<D> dx;
  bool accumulate;
  E* partials;
  int64_t columns;

  TESSERA_INLINE void store(const E* tile, const TilePlace& p, int width) const {
    const T* before = pre.data == nullptr ? nullptr : pre.at(p.row, p.column);
    T* after = value.data == nullptr ? nullptr : value.at(p.row, p.column);
    D* to = dx.at(p.row, p.column);
    E* sums = partials == nullptr ? nullptr : partials + p.row / TileOf<T>::kRows * columns + p.column;
    sweep<V>(width, [&](int64_t j, auto count) TESSERA_INLINE_BODY {
      V sum(0.0);
      for (int64_t i = 0; i < p.rows; ++i) {
        V g = load<V>(tile + i * kColumns + j, count);
        if (after != nullptr) {
          V f;
          g = g * A::slope(load<V>(before + i * pre.stride + j, count), f);
          cpu::TESSERA_ISA::store(f, after + i * value.stride + j, count);
        } else if (before != nullptr) {
          g = g * A::slope(load<V>(before + i * pre.stride + j, count));
        }
        sum += g;
        put(g, to + i * dx.stride + j, accumulate, count);
      }
      if (sums != nullptr) cpu::TESSERA_ISA::store(sum, sums + j, count);
    });
  }
  [[nodiscard]] Prefetch output(int64_t row, int64_t column) const { return prefetch_of(dx, pre, row, column); }
};

template <class T, class D, class A>
void grad_input_with(Context& context, const LinearDxArgs& a) {
  using E = Compute<T>;
  const int64_t columns = a.dx.size(1);
  const int64_t tiles = ceil_div(a.dx.size(0), TileOf<T>::kRows);
  const Scratch partials(context, a.col_sum ? static_cast<size_t>(tiles * columns) * sizeof(E) : 0);
  const bool bent = a.act != Act::none;
  const GradInputEpilogue<T, D, A> epilogue{.pre = Matrix<const T>(bent ? a.pre : View{}),
                                            .value = Matrix<T>(bent ? a.value : View{}),
                                            .dx = Matrix<D>(a.dx),
                                            .accumulate = a.mode == GradMode::accumulate,
                                            .partials = a.col_sum ? partials.template as<E>() : nullptr,
                                            .columns = columns};
  product_with_weight<T>(context, a.dy, a.w, Side::grad_input, a.pack, gemm::epilogue_of<E>(epilogue));
  if (a.col_sum) {
    finish_sums<typename VecOf<T>::Type>(context, partials.template as<E>(), tiles, columns, columns, a.col_sum,
                                         a.sum_mode);
  }
}

template <class T, class D>
void grad_input_as(Context& context, const LinearDxArgs& a) {
  switch (a.act) {
    case Act::none:
      return grad_input_with<T, D, Identity>(context, a);
    case Act::gelu_erf:
      return grad_input_with<T, D, functors::GeluErf>(context, a);
    case Act::quick_gelu:
      return grad_input_with<T, D, functors::QuickGelu>(context, a);
  }
}

void grad_input(Context& context, const LinearDxArgs& a) {
  if (a.dy.dtype == DType::f64) return grad_input_as<double, double>(context, a);
  if (a.dy.dtype == DType::f32) return grad_input_as<float, float>(context, a);
  if (a.dx.dtype == DType::f32) return grad_input_as<bfloat16, float>(context, a);
  return grad_input_as<bfloat16, bfloat16>(context, a);
}

// --- gradient of the output, and of the weight -----------------------------------------------------------------------

/// out = row_scale · dy, and the sums over its rows.
template <class T, class O>
void prepare_as(Context& context, const PrepareArgs& a) {
  using E = Compute<T>;
  using V = typename VecOf<T>::Type;
  const int64_t rows = a.dy.size(0);
  const int64_t columns = a.dy.size(1);
  const Scratch scales(context, a.row_scale ? static_cast<size_t>(rows) * sizeof(E) : 0);
  E* row_scale = a.row_scale ? scales.template as<E>() : nullptr;
  if (a.row_scale) expand_row_scale(a.segments, a.row_scale.data<const E>(), row_scale);
  const Scratch scratch(context, a.col_sum ? static_cast<size_t>(tree_blocks(rows) * columns) * sizeof(E) : 0);
  E* partials = a.col_sum ? scratch.template as<E>() : nullptr;
  const Matrix<const T> dy(a.dy);
  const Matrix<O> out(a.out);
  sum_blocks<V, 1>(context, rows, columns, partials, [&](int64_t r, int64_t c, auto count, V* t) TESSERA_INLINE_BODY {
    t[0] = load<V>(dy.at(r, c), count);
    if (row_scale != nullptr) t[0] = t[0] * V(row_scale[r]);
    if (out.data != nullptr) store(t[0], out.at(r, c), count);
  });
  if (a.col_sum) finish_sums<V>(context, partials, tree_blocks(rows), columns, columns, a.col_sum, a.sum_mode);
}

void prepare_dy(Context& context, const PrepareArgs& a) {
  if (a.dy.dtype == DType::f64) return prepare_as<double, double>(context, a);
  const bool to_bf16 = a.out.dtype == DType::bf16;
  if (a.dy.dtype == DType::f32) {
    return to_bf16 ? prepare_as<float, bfloat16>(context, a) : prepare_as<float, float>(context, a);
  }
  return to_bf16 ? prepare_as<bfloat16, bfloat16>(context, a) : prepare_as<bfloat16, float>(context, a);
}

template <class T>
void grad_weight_as(Context& context, const LinearDwArgs& a) {
  const Operand<T> dy{a.dy.data<const T>(), 1, a.dy.stride(0)};
  const Operand<T> x{a.x.data<const T>(), 1, a.x.stride(0)};
  gemm::accumulate_product(context, a.dw.size(0), a.dw.size(1), a.x.size(0), dy, x, a.dw.data<Compute<T>>(),
                           a.dw.stride(0), a.mode == GradMode::accumulate);
}

void grad_weight(Context& context, const LinearDwArgs& a) {
  by_type(a.x.dtype, [&](auto zero) { grad_weight_as<decltype(zero)>(context, a); });
}

}  // namespace

extern const LinearKernels kLinearKernels;
const LinearKernels kLinearKernels{.forward = forward,
                                   .prepare_dy = prepare_dy,
                                   .grad_input = grad_input,
                                   .grad_weight = grad_weight,
                                   .pack = pack,
                                   .pack_bytes = pack_bytes};

}  // namespace tessera::cpu::TESSERA_ISA

#include "engine/cpu/simd/isa_end.h"
