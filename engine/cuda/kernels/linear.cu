#include "engine/ops/linear.h"

#include "engine/cuda/column_sums.h"
#include "engine/cuda/gpu_vector.h"
#include "engine/cuda/product.h"
#include "engine/cuda/tables.h"
#include "engine/runtime/context.h"

namespace tessera::cuda {
namespace {

// --- rows ------------------------------------------------------------------------------------------------------------

constexpr int kVector = 8;      // adjacent elements of a thread
constexpr int kRowWarps = 8;    // warps of a block, one row each
constexpr int kRowsOfWarp = 4;  // rows of a warp, read before any is written

/// out = scale · x. As a term of column sums it also gives what it wrote, before rounding.
template <class T, class O>
struct ScaledRows {
  using E = Compute<T>;
  const T* x;
  int64_t x_stride;
  const E* scale;  // one per row; null: 1
  O* out;          // null: nothing is written
  int64_t out_stride;

  template <int V>
  __device__ void read(int64_t row, int64_t column, E (&t)[V]) const {
    load_pack<V>(x + row * x_stride + column, t);
    if (scale == nullptr) return;
    const E s = scale[row];
#pragma unroll
    for (int v = 0; v < V; ++v) t[v] *= s;
  }
  template <int V>
  __device__ void write(int64_t row, int64_t column, const E (&t)[V]) const {
    if (out != nullptr) store_pack<V>(out + row * out_stride + column, t);
  }
  template <int V>
  __device__ void operator()(int64_t row, int64_t column, E (&t)[1][V]) const {
    read<V>(row, column, t[0]);
    write<V>(row, column, t[0]);
  }
  [[nodiscard]] bool vectors(int64_t columns) const {
    const auto whole = [](int64_t stride, size_t size) {
      return stride * static_cast<int64_t>(size) % kAccessBytes == 0;
    };
    return columns % kVector == 0 && packs<kVector>(x) && whole(x_stride, sizeof(T)) &&
           (out == nullptr || (packs<kVector>(out) && whole(out_stride, sizeof(O))));
  }
};

/// A thread block owns 32 · V columns of 32 rows; a warp takes four of them, eight apart. Each element is read and
/// written once.
template <int V, class T, class O>
__global__ void __launch_bounds__(kWarp* kRowWarps)
    scale_rows_kernel(ScaledRows<T, O> rows_of, int64_t rows, int64_t columns, int64_t strips) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) % strips * (kWarp * V) + threadIdx.x * V;
  const int64_t first = static_cast<int64_t>(blockIdx.x) / strips * (kRowWarps * kRowsOfWarp) + threadIdx.y;
  if (column >= columns) return;
  Compute<T> t[kRowsOfWarp][V];
#pragma unroll
  for (int i = 0; i < kRowsOfWarp; ++i) {
    if (first + i * kRowWarps < rows) rows_of.template read<V>(first + i * kRowWarps, column, t[i]);
  }
#pragma unroll
  for (int i = 0; i < kRowsOfWarp; ++i) {
    if (first + i * kRowWarps < rows) rows_of.template write<V>(first + i * kRowWarps, column, t[i]);
  }
}

template <class T, class O>
void scale_rows(Context& context, int64_t rows, int64_t columns, const ScaledRows<T, O>& rows_of) {
  if (rows == 0 || columns == 0) return;
  const bool vectors = rows_of.vectors(columns);
  const int64_t strips = blocks_of(columns, kWarp * (vectors ? kVector : 1));
  const dim3 grid(extent(strips * blocks_of(rows, kRowWarps * kRowsOfWarp)));
  const dim3 block(kWarp, kRowWarps);
  if (vectors) {
    GPU_LAUNCH((scale_rows_kernel<kVector, T, O>), grid, block, 0, stream_of(context), rows_of, rows, columns, strips);
  } else {
    GPU_LAUNCH((scale_rows_kernel<1, T, O>), grid, block, 0, stream_of(context), rows_of, rows, columns, strips);
  }
}

/// out[row] = the scale of the row's segment, which is the first that ends after the row. A thread per row.
template <class E>
__global__ void __launch_bounds__(kWarp* kRowWarps)
    expand_row_scale_kernel(const int64_t* __restrict__ offsets, int64_t segments, const E* __restrict__ scale,
                            int64_t rows, E* __restrict__ out) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (kWarp * kRowWarps) + threadIdx.x;
  if (row >= rows) return;
  int64_t low = 0;
  int64_t high = segments - 1;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (offsets[middle + 1] > row) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  out[row] = scale[low];
}

/// The scale of every row in scratch memory; nothing where it is absent. E is the wide type.
template <class E>
class RowScale {
 public:
  RowScale(Context& context, const View& scale, const Segments& segments, int64_t rows)
      : present_(scale && rows > 0), rows_(context, present_ ? static_cast<size_t>(rows) * sizeof(E) : 0) {
    if (!present_) return;
    constexpr int kThreads = kWarp * kRowWarps;
    GPU_LAUNCH(expand_row_scale_kernel<E>, dim3(extent(blocks_of(rows, kThreads))), dim3(kThreads), 0,
               stream_of(context), segments.on_device, segments.count, scale.data<const E>(), rows,
               rows_.template as<E>());
  }
  [[nodiscard]] const E* get() const { return present_ ? rows_.template as<E>() : nullptr; }

 private:
  bool present_;
  Scratch rows_;
};

// --- weights ---------------------------------------------------------------------------------------------------------

size_t pack_bytes(int64_t n, int64_t k, DType compute, Side side) {
  if (compute != DType::bf16 || side != Side::forward) return 0;
  return static_cast<size_t>(n * k) * sizeof(bfloat16);
}

/// out [N,K] contiguous = w [N,K] rounded to bf16.
void round_weight(Context& context, const View& w, bfloat16* out) {
  scale_rows(context, w.size(0), w.size(1),
             ScaledRows<float, bfloat16>{w.data<const float>(), w.stride(0), nullptr, out, w.size(1)});
}

/// Both sides of a product take the same bytes, so there is one pack.
void pack(Context& context, const PackArgs& a) {
  if (a.compute == DType::bf16 && a.forward) round_weight(context, a.w, a.forward.data<bfloat16>());
}

/// w [N,K] in the compute type: the master itself, or its bf16 copy, which is a kept one or made here.
class Weight {
 public:
  Weight(Context& context, const View& w, const View& kept, DType compute)
      : made_(context, kept ? 0 : pack_bytes(w.size(0), w.size(1), compute, Side::forward)) {
    if (compute != DType::bf16) {
      data_ = w.pointer;
      stride_ = w.stride(0);
      return;
    }
    stride_ = w.size(1);
    data_ = kept ? kept.pointer : made_.as<void>();
    if (!kept) round_weight(context, w, made_.as<bfloat16>());
  }
  /// As the right side of x Wᵀ, and of dy W.
  [[nodiscard]] ProductOperand rows() const { return {.data = data_, .line_stride = stride_, .step_stride = 1}; }
  [[nodiscard]] ProductOperand columns() const { return {.data = data_, .line_stride = 1, .step_stride = stride_}; }

 private:
  Scratch made_;
  const void* data_;
  int64_t stride_;
};

ProductOperand rows_of(const View& x) { return {.data = x.pointer, .line_stride = x.stride(0), .step_stride = 1}; }
ProductOperand columns_of(const View& x) { return {.data = x.pointer, .line_stride = 1, .step_stride = x.stride(0)}; }

// --- products --------------------------------------------------------------------------------------------------------

template <class E>
void forward_as(Context& context, const LinearArgs& a) {
  const RowScale<E> row_scale(context, a.row_scale, a.segments, a.y.size(0));
  const Weight weight(context, a.w, a.pack, a.x.dtype);
  compute(context, {.dtype = a.x.dtype,
                    .m = a.x.size(0),
                    .n = a.w.size(0),
                    .k = a.x.size(1),
                    .left = rows_of(a.x),
                    .right = weight.rows(),
                    .bias = a.bias.pointer,
                    .row_scale = row_scale.get(),
                    .act = a.act,
                    .pre = ProductMatrix(a.pre),
                    .residual = ProductMatrix(a.residual),
                    .y = ProductMatrix(a.y)});
}

void forward(Context& context, const LinearArgs& a) {
  a.x.dtype == DType::f64 ? forward_as<double>(context, a) : forward_as<float>(context, a);
}

void grad_input(Context& context, const LinearDxArgs& a) {
  const Weight weight(context, a.w, a.pack, a.dy.dtype);
  compute(context, {.dtype = a.dy.dtype,
                    .m = a.dy.size(0),
                    .n = a.w.size(1),
                    .k = a.w.size(0),
                    .left = rows_of(a.dy),
                    .right = weight.columns(),
                    .act = a.act,
                    .slope = a.act != Act::none,
                    .pre = ProductMatrix(a.act != Act::none ? a.pre : View{}),
                    .y = ProductMatrix(a.dx),
                    .accumulate = a.mode == GradMode::accumulate,
                    .column_sums = a.col_sum,
                    .sum_mode = a.sum_mode});
  if (a.act == Act::none || !a.value) return;
  const Unary act = a.act == Act::gelu_erf ? Unary::gelu_erf : Unary::quick_gelu;
  context.kernels().pointwise.unary(context, {.op = act, .x = a.pre, .y = a.value});
}

void grad_weight(Context& context, const LinearDwArgs& a) {
  compute(context, {.dtype = a.x.dtype,
                    .m = a.dw.size(0),
                    .n = a.dw.size(1),
                    .k = a.x.size(0),
                    .left = columns_of(a.dy),
                    .right = columns_of(a.x),
                    .y = ProductMatrix(a.dw),
                    .accumulate = a.mode == GradMode::accumulate,
                    .split = true});
}

// --- gradient of the output ------------------------------------------------------------------------------------------

/// Cast, row scale and column sums in one pass over dy.
template <class T, class O>
void prepare_as(Context& context, const PrepareArgs& a) {
  using E = Compute<T>;
  const int64_t rows = a.dy.size(0);
  const int64_t columns = a.dy.size(1);
  const RowScale<E> row_scale(context, a.row_scale, a.segments, rows);
  const ScaledRows<T, O> scaled{a.dy.data<const T>(), a.dy.stride(0), row_scale.get(), a.out.data<O>(),
                                a.out ? a.out.stride(0) : 0};
  if (!a.col_sum) {
    if (a.out) scale_rows(context, rows, columns, scaled);
    return;
  }
  const int64_t blocks = column_blocks(rows);
  const Scratch partials(context, static_cast<size_t>(blocks * columns) * sizeof(E));
  // Between bf16 rows vectors of eight leave no registers for four rows at a time.
  constexpr int kSumVector = sizeof(T) + sizeof(O) == 2 * sizeof(bfloat16) ? kVector / 2 : kVector;
  column_partials<1, kSumVector>(context, rows, columns, scaled.vectors(columns), partials.template as<E>(), scaled);
  finish_column_sums(context, partials.template as<E>(), blocks, columns, columns, a.col_sum, a.sum_mode);
}

void prepare_dy(Context& context, const PrepareArgs& a) {
  if (a.dy.dtype == DType::f64) return prepare_as<double, double>(context, a);
  const bool to_bf16 = a.out.dtype == DType::bf16;
  if (a.dy.dtype == DType::f32) {
    return to_bf16 ? prepare_as<float, bfloat16>(context, a) : prepare_as<float, float>(context, a);
  }
  return to_bf16 ? prepare_as<bfloat16, bfloat16>(context, a) : prepare_as<bfloat16, float>(context, a);
}

}  // namespace

const LinearKernels kLinearKernels{.forward = forward,
                                   .prepare_dy = prepare_dy,
                                   .grad_input = grad_input,
                                   .grad_weight = grad_weight,
                                   .pack = pack,
                                   .pack_bytes = pack_bytes};

}  // namespace tessera::cuda
