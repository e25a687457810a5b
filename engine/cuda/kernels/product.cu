// How a product is cut into blocks, and the sum of its parts.
#include "engine/cuda/product.h"

#include "engine/cuda/column_sums.h"
#include "engine/cuda/gpu_product.h"
#include "engine/runtime/context.h"

namespace tessera::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBatches = 65535;

/// y [m, n] (+)= the parts [parts][m, n], added in ascending order. A thread adds four adjacent columns where vectors
/// move, else one; parts are read once.
template <class E, int kColumns>
__global__ void __launch_bounds__(kThreads)
    add_parts_kernel(const E* __restrict__ parts, int64_t count, int64_t m, int64_t n, E* __restrict__ y,
                     int64_t y_stride, bool accumulate) {
  const int64_t group = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t columns = n / kColumns;
  if (group >= m * columns) return;
  const int64_t row = group / columns;
  const int64_t column = group % columns * kColumns;
  E sum[kColumns];
  load_pack<kColumns>(parts + row * n + column, sum);
#pragma unroll 4
  for (int64_t part = 1; part < count; ++part) {
    E x[kColumns];
    load_pack<kColumns>(parts + (part * m + row) * n + column, x);
#pragma unroll
    for (int c = 0; c < kColumns; ++c) sum[c] += x[c];
  }
  E* const to = y + row * y_stride + column;
  if (accumulate) {
    E before[kColumns];
    load_pack<kColumns>(to, before);
#pragma unroll
    for (int c = 0; c < kColumns; ++c) sum[c] += before[c];
  }
  store_pack<kColumns>(to, sum);
}

template <class E>
void add_parts(Context& context, const Product& p, const E* parts, int64_t count) {
  auto* const y = static_cast<E*>(p.y.data);
  const bool vectors = p.n % 4 == 0 && p.y.row_stride % 4 == 0 && packs<4>(y);
  const dim3 grid(extent(blocks_of(p.m * p.n / (vectors ? 4 : 1), kThreads)));
  if (vectors) {
    GPU_LAUNCH((add_parts_kernel<E, 4>), grid, dim3(kThreads), 0, stream_of(context), parts, count, p.m, p.n, y,
               p.y.row_stride, p.accumulate);
  } else {
    GPU_LAUNCH((add_parts_kernel<E, 1>), grid, dim3(kThreads), 0, stream_of(context), parts, count, p.m, p.n, y,
               p.y.row_stride, p.accumulate);
  }
}

/// Whether four adjacent elements of a matrix move in one access.
bool fours(const ProductMatrix& x) {
  if (x.data == nullptr) return true;
  const auto bytes = static_cast<uintptr_t>(size_of(x.dtype) * 4 < kAccessBytes ? size_of(x.dtype) * 4 : kAccessBytes);
  return x.row_stride % 4 == 0 && reinterpret_cast<uintptr_t>(x.data) % bytes == 0;
}

template <class E>
DeviceEpilogue<E> epilogue_of(const Product& p) {
  const bool vectors = p.n % 4 == 0 && p.y_column_stride == 1 && p.y_batch_stride % 4 == 0 && fours(p.y) &&
                       fours(p.pre) && fours(p.residual) && reinterpret_cast<uintptr_t>(p.bias) % kAccessBytes == 0;
  // What accumulates is its own residual.
  const ProductMatrix& residual = p.accumulate ? p.y : p.residual;
  return {.alpha = static_cast<E>(p.alpha),
          .bias = static_cast<const E*>(p.bias),
          .row_scale = static_cast<const E*>(p.row_scale),
          .act = p.act,
          .slope = p.slope && p.act != Act::none,
          .residual_bf16 = residual.dtype == DType::bf16,
          .y_bf16 = p.y.dtype == DType::bf16,
          .vectors = vectors,
          .pre = p.pre.data,
          .residual = residual.data,
          .y = p.y.data,
          .pre_stride = p.pre.row_stride,
          .residual_stride = residual.row_stride,
          .y_stride = p.y.row_stride,
          .y_column_stride = p.y_column_stride,
          .y_batch_stride = p.y_batch_stride,
          .sums = nullptr};
}

/// How a product is cut into blocks.
ProductPlan plan_of(const Product& p) {
  constexpr int64_t kStep = 32;  // a multiple of the steps of a stage in every kernel
  constexpr int64_t kMostParts = 16;
  constexpr int64_t kFewestSteps = 8;  // blocks of k in a part
  constexpr int64_t kMostPartBytes = int64_t{64} << 20;
  ProductPlan plan{};
  const auto set_tile = [&](int tile) {
    plan.tile = tile;
    plan.row_tiles = blocks_of(p.m, tile);
    plan.column_tiles = blocks_of(p.n, tile);
  };
  const int64_t blocks = blocks_of(p.k, kStep);
  const int64_t most_parts = p.split ? blocks / kFewestSteps < kMostParts ? blocks / kFewestSteps : kMostParts : 1;
  set_tile(p.dtype == DType::bf16 ? largest_tile_bf16(p) : largest_tile_fma(p));
  // Few large tiles would leave processors idle.
  if (plan.tiles() * p.batches * (most_parts > 1 ? most_parts : 1) < kConcurrentTiles / 2) set_tile(kSmallTile);
  plan.parts = 1;
  plan.part = p.k;
  // The time of a number of parts, in blocks of k: rounds of concurrent tiles, and the parts on their way through
  // memory, which takes about a twelfth of a block of a large tile for each tile.
  const auto time_of = [&](int64_t parts) {
    const double rounds = static_cast<double>(blocks_of(plan.tiles() * parts, kConcurrentTiles));
    const double moved = parts > 1 ? static_cast<double>(parts * plan.tiles()) / 12 : 0;
    return rounds * static_cast<double>(blocks_of(blocks, parts)) + moved;
  };
  double best = time_of(1);
  for (int64_t parts = 2; parts <= most_parts && parts * p.m * p.n * 4 <= kMostPartBytes; ++parts) {
    if (time_of(parts) >= best) continue;
    best = time_of(parts);
    const int64_t part = blocks_of(blocks, parts);
    plan.parts = blocks_of(blocks, part);
    plan.part = part * kStep;
  }
  return plan;
}

template <class E>
void launch(Context& context, const Product& p, const ProductLaunch<E>& l) {
  if constexpr (sizeof(E) == sizeof(float)) {
    if (p.dtype == DType::bf16) return launch_bf16(context, p, l);
  }
  launch_fma(context, p, l);
}

/// A product whose sum over k is cut: the parts go to scratch memory.
template <class E>
void product_in_parts(Context& context, const Product& p, const ProductPlan& plan) {
  const Scratch parts(context, static_cast<size_t>(plan.parts * p.m * p.n) * sizeof(E));
  Product stored = p;
  stored.y.data = parts.as<E>();
  stored.y.row_stride = p.n;
  stored.y_batch_stride = p.m * p.n;
  stored.accumulate = false;
  stored.left.batch_stride = stored.right.batch_stride = 0;
  launch(context, stored, ProductLaunch<E>{plan, epilogue_of<E>(stored), 0, 1});
  add_parts<E>(context, p, parts.as<E>(), plan.parts);
}

template <class E>
void product_as(Context& context, const Product& p) {
  const ProductPlan plan = plan_of(p);
  if (plan.parts > 1) return product_in_parts<E>(context, p, plan);
  DeviceEpilogue<E> epilogue = epilogue_of<E>(p);
  const Scratch sums(context, p.column_sums ? static_cast<size_t>(plan.row_tiles * p.n) * sizeof(E) : 0);
  if (p.column_sums) epilogue.sums = sums.template as<E>();
  for (int64_t first = 0; p.m > 0 && first < p.batches; first += kMostBatches) {
    const int64_t batches = p.batches - first < kMostBatches ? p.batches - first : kMostBatches;
    DeviceEpilogue<E> e = epilogue;
    const auto offset = static_cast<size_t>(first * p.y_batch_stride) * sizeof(E);
    e.y = static_cast<char*>(e.y) + offset;
    if (e.residual != nullptr) e.residual = static_cast<const char*>(e.residual) + offset;
    launch(context, p, ProductLaunch<E>{plan, e, first, batches});
  }
  finish_column_sums(context, sums.template as<E>(), plan.row_tiles, p.n, p.n, p.column_sums, p.sum_mode);
}

}  // namespace

void own_product(Context& context, const Product& product) {
  if (product.n == 0 || product.batches == 0) return;
  product.dtype == DType::f64 ? product_as<double>(context, product) : product_as<float>(context, product);
}

}  // namespace tessera::cuda
