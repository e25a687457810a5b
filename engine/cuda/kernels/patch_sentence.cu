#include "engine/ops/patch_sentence.h"

#include <cmath>

#include "engine/cuda/column_sums.h"
#include "engine/cuda/kernels/patch_tile.h"
#include "engine/cuda/tables.h"
#include "engine/runtime/context.h"

// The forward keeps running maxima and sums of each row and no logits. A block reads its rows again, from the L2 cache,
// for every tile of sentences: kept in shared memory they would leave room for one block on a processor, whose matrix
// units would idle while it takes exponentials.
//
// The backward takes the rows in strips. Of a strip it computes the slopes c_r (q − p) once, into scratch memory of a
// bounded size, and multiplies them with the sentences and, transposed, with the student's rows. To compute the logits
// again for each of the two products would cost a quarter more arithmetic, and a block that keeps 64 rows of either
// gradient would need 64 · E sums in registers. A slope in bf16 is three parts, each rounded, whose sum has the digits
// of f32: with two parts the error of 2⁻¹⁸ is beyond the bounds of f32 sums.
namespace tessera::cuda {
namespace {

/// Thread blocks that fill the device: two for each of its 132 processors. The emulator takes few, so that small
/// problems have blocks with several tiles, and several strips.
constexpr int64_t kFullDevice = kEmulated ? 3 : 264;
/// A strip of slopes has at least 32 MiB, which stay in the L2 cache, and at most 128.
constexpr int64_t kLeastStripBytes = kEmulated ? int64_t{48} << 10 : int64_t{32} << 20;
constexpr int64_t kMostStripBytes = 4 * kLeastStripBytes;
constexpr int kMostSplits = 16;
constexpr double kBelowEveryLogit = -1e30;  // finite, so that differences with it stay numbers

template <class T>
using Number = typename PatchTile<T>::Number;

constexpr int64_t at_least(int64_t x, int64_t low) { return x < low ? low : x; }
constexpr int64_t at_most(int64_t x, int64_t high) { return x < high ? x : high; }

/// The rows of student and teacher, and the sentences.
template <class T>
struct Logits {
  Factors<T, 2> factors;
  int width;
  Number<T> student_scale, teacher_scale;
};
template <class T, class Args>
Logits<T> logits_of(const Args& a) {
  const int64_t width = a.student.size(1);
  return {.factors = {.left = {a.student.template data<const T>(), a.teacher.template data<const T>()},
                      .left_stride = width,
                      .left_lines = static_cast<int>(a.student.size(0)),
                      .right = a.sentences.template data<const T>(),
                      .right_stride = width,
                      .right_lines = static_cast<int>(a.sentences.size(0))},
          .width = static_cast<int>(width),
          .student_scale = static_cast<Number<T>>(1.0 / a.student_temperature),
          .teacher_scale = static_cast<Number<T>>(1.0 / a.teacher_temperature)};
}
bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % kAccessBytes == 0; }
/// Whether rows of `width` elements may be read 16 bytes at a time. Only the bf16 tile asks.
template <class T>
bool aligned(const Logits<T>& x) {
  const Factors<T, 2>& f = x.factors;
  return std::is_same_v<T, bfloat16> && x.width % 8 == 0 && aligned(f.left[0]) && aligned(f.left[1]) &&
         aligned(f.right);
}
/// Calls f with a constant; tiles other than those of bf16 have one kernel.
template <class T, class F>
void by_alignment(bool yes, const F& f) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    if (yes) return f(std::true_type());
  }
  f(std::false_type());
}

/// Sums of a row over the sentences seen so far, relative to the largest logits.
template <class E>
struct Running {
  static constexpr int kValues = 5;
  E top_a = E(kBelowEveryLogit), top_b = E(kBelowEveryLogit);
  E sum_a = 0, sum_b = 0;
  E cross = 0;  // Σ exp(b − top_b) (b − a)

  __device__ void raise(E a, E b) {
    const E shrink_a = exponential(top_a - a);
    const E shrink_b = exponential(top_b - b);
    sum_a *= shrink_a;
    sum_b *= shrink_b;
    cross *= shrink_b;
    top_a = a;
    top_b = b;
  }
  __device__ void merge(Running other) {
    const E a = other.top_a > top_a ? other.top_a : top_a;
    const E b = other.top_b > top_b ? other.top_b : top_b;
    raise(a, b);
    other.raise(a, b);
    sum_a += other.sum_a;
    sum_b += other.sum_b;
    cross += other.cross;
  }
  __device__ void store(E* to, int64_t stride) const {
    to[0] = top_a;
    to[stride] = top_b;
    to[2 * stride] = sum_a;
    to[3 * stride] = sum_b;
    to[4 * stride] = cross;
  }
  __device__ static Running load(const E* from, int64_t stride) {
    Running r;
    r.top_a = from[0];
    r.top_b = from[stride];
    r.sum_a = from[2 * stride];
    r.sum_b = from[3 * stride];
    r.cross = from[4 * stride];
    return r;
  }
};

/// A block owns 64 rows and some tiles of sentences. A thread keeps the running sums of its own columns; the 16 of a
/// row are merged at the end, in order. The result is states [blockIdx.y][value][row]. A tile reads 256 rows of E
/// elements for 4 · 64 · 128 · E flops, which is 64 flops a byte of bf16.
template <class T, bool kAligned>
__global__ void __launch_bounds__(kTileThreads, kTileBlocks<T>)
    patch_sentence_kernel(Logits<T> x, int tiles, int tiles_a_block, Number<T>* __restrict__ states) {
  using Tile = PatchTile<T>;
  using E = Number<T>;
  using Row = Running<E>;
  GPU_DYNAMIC_SHARED(E, shared);
  const int rows = x.factors.left_lines;
  const int count = x.factors.right_lines;
  const int first = static_cast<int>(blockIdx.x) * Tile::kRows;
  const int tile = static_cast<int>(blockIdx.y) * tiles_a_block;
  Row state[Tile::kRowsEach];
  Tile::template run<2, false, false, kAligned>(
      x.factors, {first, tile, tile + tiles_a_block < tiles ? tile + tiles_a_block : tiles, 0, x.width}, shared,
      [&](int column, typename Tile::Sums(&sums)[2]) {
#pragma unroll
        for (int i = 0; i < Tile::kRowsEach; ++i) {
          E top_a = state[i].top_a;
          E top_b = state[i].top_b;
#pragma unroll
          for (int j = 0; j < Tile::kColumnsEach; ++j) {
            E& a = sums[0].at(i, j);
            E& b = sums[1].at(i, j);
            const bool real = column + Tile::column(j) < count;
            a = real ? a * x.student_scale : static_cast<E>(-INFINITY);
            b = real ? b * x.teacher_scale : static_cast<E>(-INFINITY);
            top_a = a > top_a ? a : top_a;
            top_b = b > top_b ? b : top_b;
          }
          state[i].raise(top_a, top_b);
#pragma unroll
          for (int j = 0; j < Tile::kColumnsEach; ++j) {
            const E a = sums[0].at(i, j);
            const E b = sums[1].at(i, j);
            const E p = exponential(b - top_b);
            state[i].sum_a += exponential(a - top_a);
            state[i].sum_b += p;
            if (column + Tile::column(j) < count) state[i].cross = multiply_add(p, b - a, state[i].cross);
          }
        }
      });
#pragma unroll
  for (int i = 0; i < Tile::kRowsEach; ++i) {
    state[i].store(shared + Tile::owner() * Row::kValues * Tile::kRows + Tile::row(i), Tile::kRows);
  }
  __syncthreads();
  const int r = static_cast<int>(threadIdx.x);
  if (r >= Tile::kRows || first + r >= rows) return;
  Row total = Row::load(shared + r, Tile::kRows);
  for (int o = 1; o < kTileOwners; ++o) {
    total.merge(Row::load(shared + o * Row::kValues * Tile::kRows + r, Tile::kRows));
  }
  total.store(states + static_cast<int64_t>(blockIdx.y) * Row::kValues * rows + first + r, rows);
}

/// Merges the states of a row in order; a thread owns a row.
template <class E>
__global__ void __launch_bounds__(256)
    patch_sentence_finish_kernel(const E* __restrict__ states, int splits, const E* __restrict__ weight,
                                 E* __restrict__ loss, E* __restrict__ lse_student, E* __restrict__ lse_teacher,
                                 int64_t rows) {
  const int64_t r = static_cast<int64_t>(blockIdx.x) * 256 + threadIdx.x;
  if (r >= rows) return;
  Running<E> total = Running<E>::load(states + r, rows);
  for (int s = 1; s < splits; ++s) total.merge(Running<E>::load(states + s * Running<E>::kValues * rows + r, rows));
  const E lse_a = total.top_a + logarithm(total.sum_a);
  const E lse_b = total.top_b + logarithm(total.sum_b);
  lse_student[r] = lse_a;
  lse_teacher[r] = lse_b;
  loss[r] = weight[r] * (total.cross / total.sum_b - lse_b + lse_a);
}

template <class T>
void patch_sentence_as(Context& context, const PatchSentenceArgs& args) {
  using Tile = PatchTile<T>;
  using E = Number<T>;
  const Logits<T> x = logits_of<T>(args);
  const int64_t rows = x.factors.left_lines;
  const int64_t row_blocks = blocks_of(rows, Tile::kRows);
  // Few rows share the sentences among several blocks.
  const int64_t tiles = blocks_of(x.factors.right_lines, Tile::kColumns);
  const int64_t tiles_a_block = blocks_of(tiles, at_most(tiles, at_least(kFullDevice / row_blocks, 1)));
  const int64_t splits = blocks_of(tiles, tiles_a_block);
  const Scratch states(context, static_cast<size_t>(splits * Running<E>::kValues * rows) * sizeof(E));
  constexpr size_t kMerge = sizeof(E) * kTileOwners * Running<E>::kValues * Tile::kRows;
  constexpr size_t kShared = Tile::template shared_bytes<2>() > kMerge ? Tile::template shared_bytes<2>() : kMerge;
  by_alignment<T>(aligned(x), [&](auto aligned) {
    GPU_LAUNCH((patch_sentence_kernel<T, aligned()>), dim3(extent(row_blocks), extent(splits)), dim3(kTileThreads),
               kShared, stream_of(context), x, static_cast<int>(tiles), static_cast<int>(tiles_a_block),
               states.as<E>());
  });
  GPU_LAUNCH((patch_sentence_finish_kernel<E>), dim3(extent(blocks_of(rows, 256))), dim3(256), 0, stream_of(context),
             states.as<E>(), static_cast<int>(splits), args.weight.data<const E>(), args.loss.data<E>(),
             args.lse_student.data<E>(), args.lse_teacher.data<E>(), rows);
}

/// The parts that a slope is rounded to.
template <class T>
constexpr int kParts = std::is_same_v<T, bfloat16> ? 3 : 1;

/// A strip of slopes [rows, pitch] for each part, and what they are made of. Rows count from the strip's first.
template <class T>
struct Slopes {
  const Number<T>*weight, *lse_student, *lse_teacher, *dloss;
  T* parts;
  int64_t part_stride;
  int pitch;
};

/// A block owns 64 rows and a tile of sentences; it reads what a tile of the forward reads, and writes its slopes once.
/// Columns from the last sentence to the pitch get zeros.
template <class T, bool kAligned>
__global__ void __launch_bounds__(kTileThreads, kTileBlocks<T>)
    patch_slopes_kernel(Logits<T> x, int tiles, Slopes<T> s) {
  using Tile = PatchTile<T>;
  using E = Number<T>;
  GPU_DYNAMIC_SHARED(E, shared);
  const int first = static_cast<int>(blockIdx.x) / tiles * Tile::kRows;
  const int tile = static_cast<int>(blockIdx.x) % tiles;
  Tile::template run<2, false, false, kAligned>(
      x.factors, {first, tile, tile + 1, 0, x.width}, shared, [&](int column, typename Tile::Sums(&sums)[2]) {
#pragma unroll
        for (int i = 0; i < Tile::kRowsEach; ++i) {
          const int row = first + Tile::row(i);
          if (row >= x.factors.left_lines) continue;
          const E lse_a = s.lse_student[row];
          const E lse_b = s.lse_teacher[row];
          const E factor = s.dloss[0] * s.weight[row] * x.student_scale;
          T* const to = s.parts + static_cast<int64_t>(row) * s.pitch + column;
#pragma unroll
          for (int j = 0; j < Tile::kColumnsEach; j += Tile::kAdjacent) {
            if (column + Tile::column(j) >= s.pitch) continue;
            E slope[Tile::kAdjacent];
#pragma unroll
            for (int e = 0; e < Tile::kAdjacent; ++e) {
              const E q = exponential(multiply_add(sums[0].at(i, j + e), x.student_scale, -lse_a));
              const E p = exponential(multiply_add(sums[1].at(i, j + e), x.teacher_scale, -lse_b));
              slope[e] = column + Tile::column(j + e) < x.factors.right_lines ? factor * (q - p) : E(0);
            }
#pragma unroll
            for (int part = 0; part < kParts<T>; ++part) {
              store_pack<Tile::kAdjacent>(to + part * s.part_stride + Tile::column(j), slope);
#pragma unroll
              for (int e = 0; e < Tile::kAdjacent; ++e) slope[e] -= widen(narrow<T>(slope[e]));
            }
          }
        }
      });
}

/// Where a product goes: out [left_lines, right_lines] of each split of the steps.
template <class E>
struct ProductOut {
  E* data;
  int64_t split_stride;
  bool accumulate;
};

/// out (+)= Σ over parts of part · right, where a block owns a tile and a range of steps. With kTransposed a part is
/// stored by step: its rows are the steps. For each step in bf16 a block reads 320 elements for 6 · 64 · 128 flops.
template <class T, bool kTransposed, bool kAligned>
__global__ void __launch_bounds__(kTileThreads, kTileBlocks<T>)
    patch_product_kernel(Factors<T, kParts<T>> f, int tiles, int steps, int steps_a_split, ProductOut<Number<T>> out) {
  using Tile = PatchTile<T>;
  using E = Number<T>;
  GPU_DYNAMIC_SHARED(E, shared);
  const int first = static_cast<int>(blockIdx.x) / tiles * Tile::kRows;
  const int tile = static_cast<int>(blockIdx.x) % tiles;
  const int step = static_cast<int>(blockIdx.y) * steps_a_split;
  const int last = step + steps_a_split < steps ? step + steps_a_split : steps;
  E* const to = out.data + static_cast<int64_t>(blockIdx.y) * out.split_stride;
  Tile::template run<1, kTransposed, true, kAligned>(
      f, {first, tile, tile + 1, step, last}, shared, [&](int column, typename Tile::Sums(&sums)[1]) {
#pragma unroll
        for (int i = 0; i < Tile::kRowsEach; ++i) {
          const int row = first + Tile::row(i);
          if (row >= f.left_lines) continue;
#pragma unroll
          for (int j = 0; j < Tile::kColumnsEach; j += Tile::kAdjacent) {
            constexpr int kStep = kAligned ? Tile::kAdjacent : 1;
#pragma unroll
            for (int e = 0; e < Tile::kAdjacent; e += kStep) {
              const int c = column + Tile::column(j + e);
              if (c >= f.right_lines) continue;
              E* const p = to + static_cast<int64_t>(row) * f.right_lines + c;
              E v[kStep];
              if (out.accumulate) load_pack<kStep>(p, v);
#pragma unroll
              for (int k = 0; k < kStep; ++k) {
                v[k] = out.accumulate ? v[k] + sums[0].at(i, j + e + k) : sums[0].at(i, j + e + k);
              }
              store_pack<kStep>(p, v);
            }
          }
        }
      });
}

template <class T>
class PatchSentenceGrad {
 public:
  using Tile = PatchTile<T>;
  using E = Number<T>;

  PatchSentenceGrad(Context& context, const PatchSentenceGradArgs& args)
      : context_(context),
        args_(args),
        x_(logits_of<T>(args)),
        rows_(x_.factors.left_lines),
        count_(x_.factors.right_lines),
        pitch_(blocks_of(count_, 8) * 8),
        strip_(at_most(blocks_of(rows_, Tile::kRows), strip_blocks()) * Tile::kRows),
        splits_(splits_of(strip_, count_, x_.width)),
        steps_a_split_(blocks_of(blocks_of(strip_, splits_), Tile::kSteps) * Tile::kSteps),
        slopes_(context, static_cast<size_t>(strip_ * row_bytes())),
        partials_(context, args.dsentences ? static_cast<size_t>(splits_ * count_ * x_.width) * sizeof(E) : 0) {}

  void run() const {
    for (int64_t first = 0; first < rows_; first += strip_) {
      const int64_t rows = at_most(strip_, rows_ - first);
      slopes(first, rows);
      if (args_.dstudent) {
        const Factors<T, kParts<T>> f = factors(rows, x_.factors.right);
        product<false>(f, count_, count_, 1,
                       {.data = args_.dstudent.data<E>() + first * x_.width,
                        .split_stride = 0,
                        .accumulate = args_.student_mode == GradMode::accumulate});
      }
      if (args_.dsentences) {
        const Factors<T, kParts<T>> f = factors(count_, x_.factors.left[0] + first * x_.width);
        product<true>(f, rows, steps_a_split_, blocks_of(rows, steps_a_split_),
                      {.data = partials_.template as<E>(), .split_stride = count_ * x_.width, .accumulate = first > 0});
      }
    }
    const int64_t splits = rows_ == 0 ? 0 : blocks_of(at_most(strip_, rows_), steps_a_split_);
    finish_column_sums(context_, partials_.template as<E>(), splits, count_ * x_.width, count_ * x_.width,
                       args_.dsentences, args_.sentences_mode);
  }

 private:
  [[nodiscard]] int64_t row_bytes() const { return pitch_ * kParts<T> * static_cast<int64_t>(sizeof(T)); }
  /// The blocks of rows in a strip: enough for the product with the sentences to fill the device, within the limits.
  [[nodiscard]] int64_t strip_blocks() const {
    const int64_t block_bytes = row_bytes() * Tile::kRows;
    const int64_t filling = blocks_of(kFullDevice, blocks_of(x_.width, Tile::kColumns)) * block_bytes;
    return at_least(at_most(at_least(filling, kLeastStripBytes), kMostStripBytes) / block_bytes, 1);
  }
  /// The ranges of a strip's rows that blocks sum for dsentences: as many as fill the device. Their sums lie in scratch
  /// memory, are added to from strip to strip, and meet at the end.
  [[nodiscard]] static int64_t splits_of(int64_t strip, int64_t count, int64_t width) {
    const int64_t tiles = blocks_of(count, Tile::kRows) * at_least(blocks_of(width, Tile::kColumns), 1);
    return at_least(at_most(at_most(blocks_of(kFullDevice, tiles), kMostSplits), strip / 128), 1);
  }

  /// Computes the slopes of some rows.
  void slopes(int64_t first, int64_t rows) const {
    Logits<T> x = x_;
    x.factors.left[0] += first * x.width;
    x.factors.left[1] += first * x.width;
    x.factors.left_lines = static_cast<int>(rows);
    const Slopes<T> s{.weight = args_.weight.data<const E>() + first,
                      .lse_student = args_.lse_student.data<const E>() + first,
                      .lse_teacher = args_.lse_teacher.data<const E>() + first,
                      .dloss = args_.dloss.data<const E>(),
                      .parts = slopes_.template as<T>(),
                      .part_stride = strip_ * pitch_,
                      .pitch = static_cast<int>(pitch_)};
    const int64_t tiles = blocks_of(count_, Tile::kColumns);
    by_alignment<T>(aligned(x_), [&](auto aligned) {
      GPU_LAUNCH((patch_slopes_kernel<T, aligned()>), dim3(extent(blocks_of(rows, Tile::kRows) * tiles)),
                 dim3(kTileThreads), Tile::template shared_bytes<2>(), stream_of(context_), x, static_cast<int>(tiles),
                 s);
    });
  }

  [[nodiscard]] Factors<T, kParts<T>> factors(int64_t lines, const T* right) const {
    Factors<T, kParts<T>> f{.left = {},
                            .left_stride = pitch_,
                            .left_lines = static_cast<int>(lines),
                            .right = right,
                            .right_stride = x_.width,
                            .right_lines = x_.width};
    for (int part = 0; part < kParts<T>; ++part) f.left[part] = slopes_.template as<T>() + part * strip_ * pitch_;
    return f;
  }

  template <bool kTransposed>
  void product(const Factors<T, kParts<T>>& f, int64_t steps, int64_t steps_a_split, int64_t splits,
               const ProductOut<E>& out) const {
    const int64_t tiles = blocks_of(x_.width, Tile::kColumns);
    by_alignment<T>(aligned(x_) && aligned(out.data), [&](auto aligned) {
      GPU_LAUNCH((patch_product_kernel<T, kTransposed, aligned()>),
                 dim3(extent(blocks_of(f.left_lines, Tile::kRows) * tiles), extent(splits)), dim3(kTileThreads),
                 Tile::template shared_bytes<kParts<T>>(), stream_of(context_), f, static_cast<int>(tiles),
                 static_cast<int>(steps), static_cast<int>(steps_a_split), out);
    });
  }

  Context& context_;
  const PatchSentenceGradArgs& args_;
  Logits<T> x_;
  int64_t rows_, count_, pitch_, strip_, splits_, steps_a_split_;
  Scratch slopes_, partials_;
};

void forward(Context& context, const PatchSentenceArgs& a) {
  if (a.student.size(0) == 0) return;
  by_type(a.student.dtype, [&](auto zero) { patch_sentence_as<decltype(zero)>(context, a); });
}

void backward(Context& context, const PatchSentenceGradArgs& a) {
  if (a.student.size(1) == 0) return;
  by_type(a.student.dtype, [&](auto zero) { PatchSentenceGrad<decltype(zero)>(context, a).run(); });
}

}  // namespace

const PatchSentenceKernels kPatchSentenceKernels{.forward = forward, .backward = backward};

}  // namespace tessera::cuda
