#include "engine/ops/linear.h"

#include "engine/cpu/simd/isa_begin.h"
#include "engine/cpu/gemm/multiply.h"
#include "engine/cpu/simd/math.h"
#include "engine/cpu/tables.h"

namespace tessera::cpu::TESSERA_ISA {
namespace {

constexpr int64_t kWholeDepth = int64_t{1} << 40;  // forward and input gradients sum over k in one pass

template <class V>
TESSERA_INLINE V activate(Act act, V x) {
  switch (act) {
    case Act::gelu_erf:
      return functors::GeluErf::value(x);
    case Act::quick_gelu:
      return functors::QuickGelu::value(x);
    default:
      return x;
  }
}
template <class V>
TESSERA_INLINE V activation_slope(Act act, V x) {
  switch (act) {
    case Act::gelu_erf:
      return functors::GeluErf::slope(x);
    case Act::quick_gelu:
      return functors::QuickGelu::slope(x);
    default:
      return V(1.0);
  }
}

/// Factors of the rows, spread out from one per segment; absent views give null.
template <class E>
class RowFactors {
 public:
  RowFactors(Context& context, const View& scale, const Segments& segments)
      : scratch_(context, scale ? static_cast<size_t>(segments.rows()) * sizeof(E) : 1), rows_(nullptr) {
    if (!scale) return;
    rows_ = scratch_.as<E>();
    for (int64_t b = 0; b < segments.count; ++b) {
      const E value = scale.dtype == DType::f64 ? static_cast<E>(scale.data<const double>()[b])
                                                : static_cast<E>(scale.data<const float>()[b]);
      for (int64_t r = segments.begin(b); r < segments.end(b); ++r) rows_[r] = value;
    }
  }
  [[nodiscard]] TESSERA_INLINE E of(int64_t row) const { return rows_ == nullptr ? E(1) : rows_[row]; }

 private:
  Scratch scratch_;
  E* rows_;
};

/// A weight ready for products: the kept pack, or one made on the way. T is the compute type of x, V its vector.
template <class V, class T>
class RightFactor {
 public:
  using E = typename V::Element;
  using Kept = T;  // bf16 packs hold bf16: half the memory, widened as they are read

  /// `lines` × `k` of the factor w.
  RightFactor(Context& context, const View& pack, const Factor<E>& w, int64_t lines, int64_t k)
      : scratch_(context, pack ? 1 : static_cast<size_t>(packed_elements<V>(lines, k)) * sizeof(Kept)) {
    if (pack) {
      data_ = static_cast<const Kept*>(pack.pointer);
    } else {
      pack_right<V>(context, w, lines, 0, k, scratch_.template as<Kept>());
      data_ = scratch_.template as<Kept>();
    }
  }
  [[nodiscard]] const Kept* data() const { return data_; }

 private:
  Scratch scratch_;
  const Kept* data_;
};

/// w as the right factor of the forward product (lines are outputs) and of the input gradient (lines are inputs).
template <class E>
Factor<E> forward_factor(const View& w) {
  return {w.data<const E>(), w.stride(0), 1};
}
template <class E>
Factor<E> gradient_factor(const View& w) {
  return {w.data<const E>(), 1, w.stride(0)};
}

template <class T, class Y, class R>
void forward_as(Context& context, const LinearArgs& a) {
  using V = typename VecOf<T>::Type;
  using E = typename V::Element;
  const int64_t m = a.x.size(0);
  const int64_t k = a.x.size(1);
  const int64_t n = a.w.size(0);
  if (m == 0 || n == 0) return;
  const RightFactor<V, T> right(context, a.pack, forward_factor<E>(a.w), n, k);
  const RowFactors<E> factors(context, a.row_scale, a.segments);
  const E* bias = a.bias.data<const E>();
  const Factor<T> left{a.x.data<const T>(), a.x.stride(0), 1};
  multiply_packed<V>(
      context, left, right.data(), m, n, k, blocking_of<V>(m, k, kWholeDepth).row_block,
      [&](int64_t, int64_t row, int64_t column, int columns, const E* sums) TESSERA_INLINE_BODY {
        T* pre = a.pre ? a.pre.data<T>() + row * a.pre.stride(0) + column : nullptr;
        const R* residual = a.residual ? a.residual.data<const R>() + row * a.residual.stride(0) + column : nullptr;
        Y* y = a.y.data<Y>() + row * a.y.stride(0) + column;
        const V factor(factors.of(row));
        sweep<V>(columns, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
          V v = V::load(sums + i);
          if (bias != nullptr) v += load<V>(bias + column + i, count);
          if (pre != nullptr) store(v, pre + i, count);
          v = activate(a.act, v);
          if (a.row_scale) v *= factor;
          if (residual != nullptr) v += load<V>(residual + i, count);
          store(v, y + i, count);
        });
      });
}

void forward(Context& context, const LinearArgs& a) {
  if (a.x.dtype == DType::f64) return forward_as<double, double, double>(context, a);
  if (a.x.dtype == DType::f32) return forward_as<float, float, float>(context, a);
  if (a.y.dtype == DType::f32) return forward_as<bfloat16, float, float>(context, a);
  if (a.residual && a.residual.dtype == DType::f32) return forward_as<bfloat16, bfloat16, float>(context, a);
  forward_as<bfloat16, bfloat16, bfloat16>(context, a);
}

/// Blocks of rows whose column sums are added in a fixed tree.
template <class V>
void add_column_sums(Context& context, typename V::Element* partials, int64_t blocks, int64_t columns, const View& out,
                     GradMode mode) {
  using E = typename V::Element;
  context.parallel_for(columns, kGrain, [&](int64_t begin, int64_t end, int) {
    tree_sum_rows<V>(partials, blocks, columns, begin, end);
    E* to = out.data<E>();
    sweep<V>(end - begin, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
      const V total = blocks == 0 ? V(0.0) : load<V>(partials + begin + i, count);
      put(total, to + begin + i, mode == GradMode::accumulate, count);
    });
  });
}

template <class D, class Out>
void prepare_as(Context& context, const PrepareArgs& a) {
  using V = typename VecOf<D>::Type;
  using E = typename V::Element;
  const int64_t m = a.dy.size(0);
  const int64_t n = a.dy.size(1);
  const RowFactors<E> factors(context, a.row_scale, a.segments);
  const int64_t blocks = (m + kTreeRows - 1) / kTreeRows;
  const Scratch partials(context, a.col_sum ? static_cast<size_t>(blocks * n) * sizeof(E) : 1);
  context.parallel_for(m, kTreeRows, [&](int64_t begin, int64_t end, int) {
    E* sums = partials.as<E>() + begin / kTreeRows * n;
    if (a.col_sum) sweep<V>(n, [&](int64_t i, auto count) TESSERA_INLINE_BODY { store(V(0.0), sums + i, count); });
    for (int64_t row = begin; row < end; ++row) {
      const D* dy = a.dy.data<const D>() + row * a.dy.stride(0);
      Out* out = a.out ? a.out.data<Out>() + row * a.out.stride(0) : nullptr;
      const V factor(factors.of(row));
      sweep<V>(n, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
        V v = load<V>(dy + i, count);
        if (a.row_scale) v *= factor;
        if (out != nullptr) store(v, out + i, count);
        if (a.col_sum) store(load<V>(sums + i, count) + v, sums + i, count);
      });
    }
  });
  if (a.col_sum) add_column_sums<V>(context, partials.as<E>(), blocks, n, a.col_sum, a.sum_mode);
}

void prepare_dy(Context& context, const PrepareArgs& a) {
  const DType out = a.out ? a.out.dtype : a.dy.dtype;
  if (a.dy.dtype == DType::f64) return prepare_as<double, double>(context, a);
  if (a.dy.dtype == DType::f32) {
    return out == DType::f32 ? prepare_as<float, float>(context, a) : prepare_as<float, bfloat16>(context, a);
  }
  return out == DType::f32 ? prepare_as<bfloat16, float>(context, a) : prepare_as<bfloat16, bfloat16>(context, a);
}

template <class T, class Out>
void grad_input_as(Context& context, const LinearDxArgs& a) {
  using V = typename VecOf<T>::Type;
  using E = typename V::Element;
  const int64_t m = a.dy.size(0);
  const int64_t n = a.w.size(0);
  const int64_t k = a.w.size(1);
  const int64_t row_block = blocking_of<V>(m, n, kWholeDepth).row_block;
  const int64_t blocks = (m + row_block - 1) / row_block;
  const Scratch partials(context, a.col_sum ? static_cast<size_t>(blocks * k) * sizeof(E) : 1);
  if (a.col_sum) {
    for (int64_t i = 0; i < blocks * k; ++i) partials.as<E>()[i] = 0;
  }
  if (m > 0 && k > 0) {
    const RightFactor<V, T> right(context, a.pack, gradient_factor<E>(a.w), k, n);
    const Factor<T> left{a.dy.data<const T>(), a.dy.stride(0), 1};
    const bool accumulate = a.mode == GradMode::accumulate;
    multiply_packed<V>(
        context, left, right.data(), m, k, n, row_block,
        [&](int64_t block, int64_t row, int64_t column, int columns, const E* sums) TESSERA_INLINE_BODY {
          const T* pre = a.act == Act::none ? nullptr : a.pre.data<const T>() + row * a.pre.stride(0) + column;
          Out* dx = a.dx.data<Out>() + row * a.dx.stride(0) + column;
          E* sum = partials.as<E>() + block * k + column;
          sweep<V>(columns, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
            V v = V::load(sums + i);
            if (pre != nullptr) v *= activation_slope(a.act, load<V>(pre + i, count));
            if (a.col_sum) store(load<V>(sum + i, count) + v, sum + i, count);
            put(v, dx + i, accumulate, count);
          });
        });
  }
  if (a.col_sum) add_column_sums<V>(context, partials.as<E>(), blocks, k, a.col_sum, a.sum_mode);
}

void grad_input(Context& context, const LinearDxArgs& a) {
  if (a.dy.dtype == DType::f64) return grad_input_as<double, double>(context, a);
  if (a.dy.dtype == DType::f32) return grad_input_as<float, float>(context, a);
  if (a.dx.dtype == DType::f32) return grad_input_as<bfloat16, float>(context, a);
  grad_input_as<bfloat16, bfloat16>(context, a);
}

template <class T>
void grad_weight_as(Context& context, const LinearDwArgs& a) {
  using V = typename VecOf<T>::Type;
  using E = typename V::Element;
  const Factor<T> left{a.dy.data<const T>(), 1, a.dy.stride(0)};
  const Factor<T> right{a.x.data<const T>(), 1, a.x.stride(0)};
  multiply_into<V>(context, left, right, a.dy.size(1), a.x.size(1), a.dy.size(0), a.dw.data<E>(), a.dw.stride(0), E(1),
                   a.mode == GradMode::accumulate);
}

void grad_weight(Context& context, const LinearDwArgs& a) {
  switch (a.x.dtype) {
    case DType::f32:
      return grad_weight_as<float>(context, a);
    case DType::bf16:
      return grad_weight_as<bfloat16>(context, a);
    default:
      return grad_weight_as<double>(context, a);
  }
}

/// Kept packs exist for bf16: f32 ones would double a model's memory, and packing on the way costs a few per cent.
size_t pack_bytes(int64_t n, int64_t k, DType compute, Side side) {
  if (compute != DType::bf16) return 0;
  const int64_t elements = side == Side::forward ? packed_elements<VecF>(n, k) : packed_elements<VecF>(k, n);
  return static_cast<size_t>(elements) * sizeof(bfloat16);
}

void pack(Context& context, const PackArgs& a) {
  if (a.compute != DType::bf16) return;
  const int64_t n = a.w.size(0);
  const int64_t k = a.w.size(1);
  if (a.forward) {
    pack_right<VecF>(context, forward_factor<float>(a.w), n, 0, k, static_cast<bfloat16*>(a.forward.pointer));
  }
  if (a.grad_input) {
    pack_right<VecF>(context, gradient_factor<float>(a.w), k, 0, n,
                            static_cast<bfloat16*>(a.grad_input.pointer));
  }
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
