#include "engine/ops/patch_sentence.h"

#include "engine/cpu/host.h"
#include "engine/cpu/tables.h"

// The rest lies inside the region of the instruction set.
#include "engine/cpu/simd/isa_begin.h"

#include "engine/cpu/gemm/rows.h"
#include "engine/cpu/simd/softmax.h"

namespace tessera::cpu::TESSERA_ISA {
namespace {

using gemm::Compute;
using gemm::multiply_rows;
using gemm::Operand;
using gemm::pack_right;
using gemm::round_up;
using gemm::Tile;

// Sentences are packed once. A task is a block of rows and takes the sentences block by block: two small products give
// the logits, and only their running maxima and sums are kept.

template <class E>
constexpr int64_t kRowBlock = 8 * Tile<E>::kRows;
constexpr int64_t kSentenceBlock = 256;  // a multiple of every tile's columns

/// Operands of one call and the buffers of a thread.
template <class T>
struct PatchSentence {
  using E = Compute<T>;
  using V = typename VecOf<T>::Type;
  const T *student, *teacher, *sentences;
  int64_t rows, count, width;
  E student_scale, teacher_scale;

  template <class Args>
  explicit PatchSentence(const Args& a)
      : student(a.student.template data<const T>()),
        teacher(a.teacher.template data<const T>()),
        sentences(a.sentences.template data<const T>()),
        rows(a.student.size(0)),
        count(a.sentences.size(0)),
        width(a.student.size(1)),
        student_scale(static_cast<E>(1.0 / a.student_temperature)),
        teacher_scale(static_cast<E>(1.0 / a.teacher_temperature)) {}

  [[nodiscard]] Operand<T> by_row(const T* x) const { return {x, width, 1}; }
  [[nodiscard]] Operand<T> by_column(const T* x) const { return {x, 1, width}; }
  [[nodiscard]] int64_t packed_elements() const { return round_up(count, kSentenceBlock) * width; }
  [[nodiscard]] static int64_t logit_elements() { return kRowBlock<E> * kSentenceBlock; }
  [[nodiscard]] int64_t left_elements() const {
    const int64_t over_width = gemm::left_elements<E>(kRowBlock<E>, width);
    const int64_t over_sentences = gemm::left_elements<E>(kRowBlock<E>, kSentenceBlock);
    const int64_t over_rows = gemm::left_elements<E>(kSentenceBlock, kRowBlock<E>);
    return round_up(max_of(over_width, max_of(over_sentences, over_rows)), 16);
  }

  void pack(Context& context, E* packed) const {
    parallel_for(context, (count + kSentenceBlock - 1) / kSentenceBlock, 1, [&](int64_t begin, int64_t end, int) {
      const int64_t first = begin * kSentenceBlock;
      pack_right(by_row(sentences + first * width), min_of(count, end * kSentenceBlock) - first, 0, width,
                 packed + first * width);
    });
  }

  /// out[i][j] = scale · x_i · t_j for rows [first, first + n) and sentences [sentence, sentence + m).
  void logits(const T* x, int64_t first, int64_t n, const E* packed, int64_t sentence, int64_t m, E scale, E* left,
              E* out) const {
    multiply_rows(by_row(x), first, n, m, width, packed + sentence * width, left,
                  [&](int64_t row, int64_t column, int columns, const E* sums) TESSERA_INLINE_BODY {
                    E* to = out + (row - first) * kSentenceBlock + column;
                    sweep<V>(columns, [&](int64_t i, auto lanes)
                                          TESSERA_INLINE_BODY { store(V(scale) * V::load(sums + i), to + i, lanes); });
                  });
  }
};

/// Running sums of one row over the sentences seen so far.
template <class E>
struct RunningRow {
  E top_a = kBelowEveryLogit<E>, top_b = kBelowEveryLogit<E>;
  E sum_a = 0, sum_b = 0;
  E cross = 0;  // Σ exp(b − top_b) (b − a)
};

template <class V, class E>
void update_row(const E* a, const E* b, int64_t n, RunningRow<E>& row) {
  const E top_a = row_max<V>(a, n, row.top_a);
  const E top_b = row_max<V>(b, n, row.top_b);
  V sum_a(0.0);
  V sum_b(0.0);
  V cross(0.0);
  sweep<V>(n, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
    const V x = load<V>(a + i, count);
    const V y = load<V>(b + i, count);
    const V p = keep(exp(y - V(top_b)), count);
    sum_a += keep(exp(x - V(top_a)), count);
    sum_b += p;
    cross = fma(p, y - x, cross);
  });
  const E shrink_a = exp_of(row.top_a - top_a);
  const E shrink_b = exp_of(row.top_b - top_b);
  row.sum_a = row.sum_a * shrink_a + sum(sum_a);
  row.sum_b = row.sum_b * shrink_b + sum(sum_b);
  row.cross = row.cross * shrink_b + sum(cross);
  row.top_a = top_a;
  row.top_b = top_b;
}

template <class T>
void patch_sentence_as(Context& context, const PatchSentenceArgs& args) {
  const PatchSentence<T> ps(args);
  using E = Compute<T>;
  using V = typename VecOf<T>::Type;
  const Scratch packed(context, static_cast<size_t>(ps.packed_elements()) * sizeof(E));
  ps.pack(context, packed.as<E>());
  const int64_t elements = ps.left_elements() + 2 * ps.logit_elements();
  const Scratch scratch(context, static_cast<size_t>(elements * threads(context).threads()) * sizeof(E));
  parallel_for(context, ps.rows, kRowBlock<E>, [&](int64_t begin, int64_t end, int thread) {
    E* left = scratch.as<E>() + thread * elements;
    E* a = left + ps.left_elements();
    E* b = a + ps.logit_elements();
    RunningRow<E> state[kRowBlock<E>];
    for (int64_t s = 0; s < ps.count; s += kSentenceBlock) {
      const int64_t m = min_of(kSentenceBlock, ps.count - s);
      ps.logits(ps.student, begin, end - begin, packed.as<E>(), s, m, ps.student_scale, left, a);
      ps.logits(ps.teacher, begin, end - begin, packed.as<E>(), s, m, ps.teacher_scale, left, b);
      for (int64_t r = 0; r < end - begin; ++r) {
        update_row<V>(a + r * kSentenceBlock, b + r * kSentenceBlock, m, state[r]);
      }
    }
    for (int64_t r = 0; r < end - begin; ++r) {
      const RunningRow<E>& row = state[r];
      const E lse_a = row.top_a + log_of(row.sum_a);
      const E lse_b = row.top_b + log_of(row.sum_b);
      args.lse_student.data<E>()[begin + r] = lse_a;
      args.lse_teacher.data<E>()[begin + r] = lse_b;
      args.loss.data<E>()[begin + r] = args.weight.data<const E>()[begin + r] * (row.cross / row.sum_b - lse_b + lse_a);
    }
  });
}

void forward(Context& context, const PatchSentenceArgs& a) {
  by_type(a.student.dtype, [&](auto zero) { patch_sentence_as<decltype(zero)>(context, a); });
}

/// a becomes c_r (q − p) from the logits a and b of rows [first, first + n).
template <class V, class E>
void slopes(const PatchSentenceGradArgs& args, int64_t first, int64_t n, int64_t m, E* a, const E* b) {
  for (int64_t r = 0; r < n; ++r) {
    const V lse_a(args.lse_student.data<const E>()[first + r]);
    const V lse_b(args.lse_teacher.data<const E>()[first + r]);
    const V factor(args.dloss.data<const E>()[0] * args.weight.data<const E>()[first + r] *
                   static_cast<E>(1.0 / args.student_temperature));
    E* x = a + r * kSentenceBlock;
    const E* y = b + r * kSentenceBlock;
    sweep<V>(m, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
      const V difference = exp(load<V>(x + i, count) - lse_a) - exp(load<V>(y + i, count) - lse_b);
      store(factor * difference, x + i, count);
    });
  }
}

/// Writes or adds a task's gradient, which was summed in dense rows of `width`.
template <class V, class E>
void write_gradient(const E* sums, int64_t lines, int64_t width, E* out, bool accumulate) {
  sweep<V>(lines * width, [&](int64_t i, auto count)
                              TESSERA_INLINE_BODY { put(load<V>(sums + i, count), out + i, accumulate, count); });
}

template <class T>
class PatchSentenceGrad {
 public:
  using E = Compute<T>;
  using V = typename VecOf<T>::Type;

  PatchSentenceGrad(Context& context, const PatchSentenceGradArgs& args)
      : context_(context),
        args_(args),
        ps_(args),
        right_elements_(round_up(ps_.width, Tile<E>::kColumns) * max_of(kSentenceBlock, kRowBlock<E>)),
        sum_elements_(round_up(max_of(kSentenceBlock, kRowBlock<E>) * ps_.width, 16)),
        elements_(ps_.left_elements() + 2 * PatchSentence<T>::logit_elements() + right_elements_ + sum_elements_),
        packed_(context, static_cast<size_t>(ps_.packed_elements()) * sizeof(E)),
        scratch_(context, static_cast<size_t>(elements_ * threads(context).threads()) * sizeof(E)) {
    ps_.pack(context, packed_.template as<E>());
  }

  /// The gradient of the student. A task owns a block of rows and takes the sentences in order.
  void student() const {
    parallel_for(context_, ps_.rows, kRowBlock<E>, [&](int64_t begin, int64_t end, int thread) {
      const Buffers b(*this, thread);
      const int64_t n = end - begin;
      for (int64_t i = 0; i < n * ps_.width; ++i) b.sums[i] = E(0);
      for (int64_t s = 0; s < ps_.count; s += kSentenceBlock) {
        const int64_t m = min_of(kSentenceBlock, ps_.count - s);
        block(b, begin, n, s, m);
        pack_right(ps_.by_column(ps_.sentences + s * ps_.width), ps_.width, 0, m, b.right);
        multiply_rows(Operand<E>{b.a, kSentenceBlock, 1}, 0, n, ps_.width, m, b.right, b.left, adding(b.sums));
      }
      write_gradient<V>(b.sums, n, ps_.width, args_.dstudent.data<E>() + begin * ps_.width,
                        args_.student_mode == GradMode::accumulate);
    });
  }

  /// The gradient of the sentences. A task owns a block of sentences and takes the rows in order.
  void sentences() const {
    parallel_for(context_, ps_.count, kSentenceBlock, [&](int64_t begin, int64_t end, int thread) {
      const Buffers b(*this, thread);
      const int64_t m = end - begin;
      for (int64_t i = 0; i < m * ps_.width; ++i) b.sums[i] = E(0);
      for (int64_t first = 0; first < ps_.rows; first += kRowBlock<E>) {
        const int64_t n = min_of(kRowBlock<E>, ps_.rows - first);
        block(b, first, n, begin, m);
        pack_right(ps_.by_column(ps_.student + first * ps_.width), ps_.width, 0, n, b.right);
        multiply_rows(Operand<E>{b.a, 1, kSentenceBlock}, 0, m, ps_.width, n, b.right, b.left, adding(b.sums));
      }
      write_gradient<V>(b.sums, m, ps_.width, args_.dsentences.data<E>() + begin * ps_.width,
                        args_.sentences_mode == GradMode::accumulate);
    });
  }

 private:
  struct Buffers {
    E *left, *a, *b, *right, *sums;
    Buffers(const PatchSentenceGrad& g, int thread)
        : left(g.scratch_.template as<E>() + thread * g.elements_),
          a(left + g.ps_.left_elements()),
          b(a + PatchSentence<T>::logit_elements()),
          right(b + PatchSentence<T>::logit_elements()),
          sums(right + g.right_elements_) {}
  };

  void block(const Buffers& b, int64_t first, int64_t n, int64_t sentence, int64_t m) const {
    const E* packed = packed_.template as<E>();
    ps_.logits(ps_.student, first, n, packed, sentence, m, ps_.student_scale, b.left, b.a);
    ps_.logits(ps_.teacher, first, n, packed, sentence, m, ps_.teacher_scale, b.left, b.b);
    slopes<V>(args_, first, n, m, b.a, b.b);
  }

  [[nodiscard]] auto adding(E* sums) const {
    return [sums, width = ps_.width](int64_t row, int64_t column, int columns, const E* x) TESSERA_INLINE_BODY {
      E* to = sums + row * width + column;
      sweep<V>(columns, [&](int64_t i, auto count)
                            TESSERA_INLINE_BODY { store(load<V>(to + i, count) + V::load(x + i), to + i, count); });
    };
  }

  Context& context_;
  const PatchSentenceGradArgs& args_;
  PatchSentence<T> ps_;
  int64_t right_elements_, sum_elements_, elements_;
  Scratch packed_, scratch_;
};

template <class T>
void patch_sentence_grad_as(Context& context, const PatchSentenceGradArgs& a) {
  const PatchSentenceGrad<T> gradient(context, a);
  if (a.dstudent) gradient.student();
  if (a.dsentences) gradient.sentences();
}

void backward(Context& context, const PatchSentenceGradArgs& a) {
  by_type(a.student.dtype, [&](auto zero) { patch_sentence_grad_as<decltype(zero)>(context, a); });
}

}  // namespace

extern const PatchSentenceKernels kPatchSentenceKernels;
const PatchSentenceKernels kPatchSentenceKernels{.forward = forward, .backward = backward};

}  // namespace tessera::cpu::TESSERA_ISA

#include "engine/cpu/simd/isa_end.h"
