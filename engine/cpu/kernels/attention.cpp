#include "engine/ops/attention.h"

#include "engine/cpu/host.h"
#include "engine/cpu/tables.h"

#include <type_traits>

// The rest lies inside the region of the instruction set.
#include "engine/cpu/simd/isa_begin.h"

#include "engine/cpu/gemm/rows.h"
#include "engine/cpu/simd/softmax.h"

namespace tessera::cpu::TESSERA_ISA {
namespace {

using gemm::multiply_rows;
using gemm::Operand;
using gemm::pack_right;
using gemm::round_up;
using gemm::Tile;
using gemm::units;

// A task is one head of one segment. Its keys and values are packed once; queries come in blocks whose scores stay in
// the L2 cache. Beyond kKeyBlock keys, blocks of keys are merged by their running maximum and sum.
constexpr int64_t kKeyBlock = 1024;

/// The types of a problem with operands T, whose products have units U (see gemm/unit.h) and sums E.
template <class T>
struct Types {
  using V = typename VecOf<T>::Type;
  using E = typename V::Element;
  using U = gemm::Unit<T>;
  static constexpr int kRows = Tile<U>::kRows, kColumns = Tile<U>::kColumns;
  /// About a hundred queries, so that their scores over some hundred keys stay in the L2 cache.
  static constexpr int64_t kQueryBlock = kRows > 16 ? 4 * kRows : 8 * kRows;
  static_assert(sizeof(U) == sizeof(E), "buffers of one kind hold both");
};

/// One head of q, k, v, o or a gradient: rows of d adjacent elements.
template <class T>
struct Head {
  using Plain = std::remove_const_t<T>;
  T* data;
  int64_t row_stride;
  [[nodiscard]] T* row(int64_t r) const { return data + r * row_stride; }
  /// As operands of a product: rows that are summed over d, and columns that are summed over rows.
  [[nodiscard]] Operand<Plain> by_row() const { return {data, row_stride, 1}; }
  [[nodiscard]] Operand<Plain> by_column() const { return {data, 1, row_stride}; }
};

template <class T>
Head<T> head_of(const View& v, int64_t first_row, int64_t head) {
  return {v.data<T>() + first_row * v.stride(0) + head * v.stride(1), v.stride(0)};
}

/// Sizes of one problem, rounded up to whole tiles, and the buffers of a thread within one scratch block.
template <class T>
struct Sizes {
  using U = typename Types<T>::U;
  static constexpr int kRows = Types<T>::kRows, kColumns = Types<T>::kColumns;
  int64_t d, queries, keys, key_block;
  Sizes(const View& q, const Segments& sq, const Segments& sk)
      : d(q.size(2)),
        queries(min_of(Types<T>::kQueryBlock, round_up(max_of(1, sq.max_len), kRows))),
        keys(round_up(max_of(1, sk.max_len), kColumns)),
        key_block(min_of(keys, kKeyBlock)) {}
  [[nodiscard]] int64_t columns() const { return round_up(d, kColumns); }
  /// Units of the right panels of keys over d, of d columns over keys, and of d columns over queries.
  [[nodiscard]] int64_t over_d() const { return keys * units<U>(d); }
  [[nodiscard]] int64_t over_keys() const { return columns() * units<U>(keys); }
  [[nodiscard]] int64_t over_queries() const { return columns() * units<U>(queries); }
  /// The largest left panels of the products over d, over keys, and over queries (with keys as rows).
  [[nodiscard]] int64_t panels() const {
    return max_of(max_of(gemm::left_elements<U>(queries, d), gemm::left_elements<U>(queries, key_block)),
                  gemm::left_elements<U>(key_block, queries));
  }
  [[nodiscard]] int64_t scores() const { return queries * key_block; }
};

/// How many of the keys [first, first + count) a query sees.
TESSERA_INLINE int64_t visible(bool causal, int64_t query, int64_t first, int64_t count) {
  return causal ? max_of(0, min_of(count, query + 1 - first)) : count;
}

/// scores[i][j] = scale · q_i · k_j + bias for `rows` queries from `query` and `count` keys from `first`.
template <class T, class E = typename Types<T>::E, class U = typename Types<T>::U>
void score_block(const Head<const T>& q, int64_t query, int64_t rows, const U* packed_keys, int64_t first,
                 int64_t count, int64_t d, double scale, const E* bias, int64_t bias_stride, U* panels, E* scores,
                 int64_t stride) {
  using V = typename Types<T>::V;
  const V factor{static_cast<E>(scale)};
  multiply_rows(q.by_row(), query, rows, count, d, packed_keys + first * units<U>(d), panels,
                [&](int64_t row, int64_t column, int columns, const E* sums) TESSERA_INLINE_BODY {
                  E* to = scores + (row - query) * stride + column;
                  const E* b = bias == nullptr ? nullptr : bias + row * bias_stride + first + column;
                  sweep<V>(columns, [&](int64_t i, auto n) TESSERA_INLINE_BODY {
                    V s = factor * V::load(sums + i);
                    if (b != nullptr) s += load<V>(b + i, n);
                    store(s, to + i, n);
                  });
                });
}

/// x[i] = exp(x[i] − top) for i < n and 0 up to `all`; returns their sum.
template <class V>
TESSERA_INLINE typename V::Element row_exp(typename V::Element* x, int64_t n, int64_t all, typename V::Element top) {
  using E = typename V::Element;
  V acc[4] = {V(0.0), V(0.0), V(0.0), V(0.0)};
  const V t(top);
  sweep4<V>(n, acc, [&](V& s, int64_t i, auto count) TESSERA_INLINE_BODY {
    const V p = keep(exp(load<V>(x + i, count) - t), count);
    store(p, x + i, count);
    s += p;
  });
  for (int64_t i = n; i < all; ++i) x[i] = E(0);
  return total(acc);
}

/// State of a block of queries between blocks of keys.
template <class V>
struct Running {
  using E = typename V::Element;
  E* top;  // largest score so far
  E* sum;  // Σ exp(score − top)
  E* out;  // Σ exp(score − top) v, [rows][d]
};

/// Turns the scores of a block of keys into weights and rescales the sums over earlier blocks.
template <class V>
void merge_block(typename V::Element* scores, int64_t stride, int64_t query, int64_t rows, int64_t first, int64_t count,
                 int64_t d, bool causal, const Running<V>& state) {
  using E = typename V::Element;
  for (int64_t r = 0; r < rows; ++r) {
    E* x = scores + r * stride;
    const int64_t n = visible(causal, query + r, first, count);
    const E top = row_max<V>(x, n, state.top[r]);
    const E sum = row_exp<V>(x, n, count, top);
    const E before = state.sum[r] > 0 ? exp_of(state.top[r] - top) : E(0);
    state.sum[r] = state.sum[r] * before + sum;
    state.top[r] = top;
    if (first == 0) continue;
    const V factor(before);
    E* o = state.out + r * d;
    sweep<V>(d, [&](int64_t i, auto n_lanes)
                    TESSERA_INLINE_BODY { store(factor * load<V>(o + i, n_lanes), o + i, n_lanes); });
  }
}

template <class T>
void forward_head(const AttentionArgs& a, int64_t segment, int64_t head, const Sizes<T>& size,
                  typename Types<T>::U* buffer) {
  using V = typename Types<T>::V;
  using E = typename Types<T>::E;
  using U = typename Types<T>::U;
  const int64_t d = size.d;
  const int64_t keys = a.segments_kv.end(segment) - a.segments_kv.begin(segment);
  const int64_t queries = a.segments_q.end(segment) - a.segments_q.begin(segment);
  const auto q = head_of<const T>(a.q, a.segments_q.begin(segment), head);
  const auto k = head_of<const T>(a.k, a.segments_kv.begin(segment), head);
  const auto v = head_of<const T>(a.v, a.segments_kv.begin(segment), head);
  const auto o = head_of<T>(a.o, a.segments_q.begin(segment), head);
  E* lse = a.lse.data<E>() + head * a.lse.stride(0) + a.segments_q.begin(segment);
  const E* bias = a.bias ? a.bias.data<const E>() + head * a.bias.stride(0) : nullptr;
  const int64_t bias_stride = a.bias ? a.bias.stride(1) : 0;

  U* packed_keys = buffer;
  U* packed_values = packed_keys + size.over_d();
  U* panels = packed_values + size.over_keys();
  E* scores = reinterpret_cast<E*>(panels + size.panels());
  E* out = scores + size.scores();
  const Running<V> state{out + size.queries * d, out + size.queries * (d + 1), out};
  pack_right(k.by_row(), keys, 0, d, packed_keys);
  for (int64_t first = 0; first < keys; first += kKeyBlock) {
    pack_right(v.by_column(), d, first, min_of(kKeyBlock, keys - first),
               packed_values + units<U>(first) * size.columns());
  }
  for (int64_t query = 0; query < queries; query += size.queries) {
    const int64_t rows = min_of(size.queries, queries - query);
    for (int64_t r = 0; r < rows; ++r) {
      state.top[r] = kBelowEveryLogit<E>;
      state.sum[r] = 0;
    }
    for (int64_t i = 0; i < rows * d; ++i) out[i] = 0;
    const int64_t seen = a.causal ? min_of(keys, query + rows) : keys;
    for (int64_t first = 0; first < seen; first += kKeyBlock) {
      const int64_t count = min_of(kKeyBlock, seen - first);
      score_block<T>(q, query, rows, packed_keys, first, count, d, a.scale, bias, bias_stride, panels, scores,
                     size.key_block);
      merge_block<V>(scores, size.key_block, query, rows, first, count, d, a.causal, state);
      // The packed values of a block have its full depth; a causal block may stop earlier, so panels are walked one by
      // one.
      const int64_t depth = units<U>(min_of(kKeyBlock, keys - first));
      const Operand<E> weights{scores, size.key_block, 1};
      for (int64_t column = 0; column < d; column += Types<T>::kColumns) {
        multiply_rows(weights, 0, rows, min_of(Types<T>::kColumns, d - column), count,
                      packed_values + units<U>(first) * size.columns() + column * depth, panels,
                      [&](int64_t row, int64_t, int columns, const E* sums) TESSERA_INLINE_BODY {
                        E* to = out + row * d + column;
                        sweep<V>(columns, [&](int64_t i, auto n) TESSERA_INLINE_BODY {
                          store(load<V>(to + i, n) + V::load(sums + i), to + i, n);
                        });
                      });
      }
    }
    for (int64_t r = 0; r < rows; ++r) {
      const bool any = state.sum[r] > 0;
      const V factor{any ? E(1) / state.sum[r] : E(0)};
      lse[query + r] = any ? state.top[r] + log_of(state.sum[r]) : -static_cast<E>(__builtin_inf());
      T* to = o.row(query + r);
      sweep<V>(d,
               [&](int64_t i, auto n) TESSERA_INLINE_BODY { store(factor * load<V>(out + r * d + i, n), to + i, n); });
    }
  }
}

template <class T>
void forward_as(Context& context, const AttentionArgs& a) {
  using U = typename Types<T>::U;
  const Sizes<T> size(a.q, a.segments_q, a.segments_kv);
  const int64_t elements =
      round_up(size.over_d() + size.over_keys() + size.panels() + size.scores() + size.queries * (size.d + 2), 16);
  const Scratch scratch(context, static_cast<size_t>(elements * threads(context).threads()) * sizeof(U));
  const int64_t heads = a.q.size(1);
  const int64_t work = size.queries * size.keys * max_of(1, size.d);
  parallel_for(context, a.segments_q.count * heads, max_of(1, 32 * kGrain / work),
               [&](int64_t begin, int64_t end, int thread) {
                 for (int64_t task = begin; task < end; ++task) {
                   forward_head<T>(a, task / heads, task % heads, size, scratch.as<U>() + thread * elements);
                 }
               });
}

void forward(Context& context, const AttentionArgs& a) {
  by_type(a.q.dtype, [&](auto zero) { forward_as<decltype(zero)>(context, a); });
}

/// Buffers of one head's backward.
template <class T>
struct BackwardBuffers {
  using E = typename Types<T>::E;
  using U = typename Types<T>::U;
  U *keys, *keys_by_column, *values, *panels, *right;
  E *weights, *slopes, *dq, *dk, *dv, *lift;
  BackwardBuffers(U* at, const Sizes<T>& size) {
    const auto take = [&](int64_t n) {
      U* here = at;
      at += round_up(n, 16);
      return here;
    };
    const auto take_sums = [&](int64_t n) { return reinterpret_cast<E*>(take(n)); };
    keys = take(size.over_d());
    keys_by_column = take(size.over_keys());
    values = take(size.over_d());
    panels = take(size.panels());
    right = take(size.over_queries());
    weights = take_sums(size.scores());
    slopes = take_sums(size.scores());
    dq = take_sums(size.queries * size.d);
    dk = take_sums(size.keys * size.d);
    dv = take_sums(size.keys * size.d);
    lift = take_sums(size.queries);
    used = at;
  }
  U* used;
  [[nodiscard]] static int64_t elements(const Sizes<T>& size) {
    return BackwardBuffers(nullptr, size).used - static_cast<U*>(nullptr);
  }
};

/// weights = exp(score − lse), and slopes, which hold dP, become dS = weights · (slopes − lift). Columns past the
/// visible ones are zero.
template <class V>
void slope_block(typename V::Element* weights, typename V::Element* slopes, int64_t stride, int64_t query, int64_t rows,
                 int64_t first, int64_t count, bool causal, const typename V::Element* lse,
                 const typename V::Element* lift) {
  using E = typename V::Element;
  for (int64_t r = 0; r < rows; ++r) {
    E* p = weights + r * stride;
    E* s = slopes + r * stride;
    const int64_t n = visible(causal, query + r, first, count);
    const V top(lse[query + r]);
    const V level(lift[r]);
    sweep<V>(n, [&](int64_t i, auto lanes) TESSERA_INLINE_BODY {
      const V w = exp(load<V>(p + i, lanes) - top);
      store(w, p + i, lanes);
      store(w * (load<V>(s + i, lanes) - level), s + i, lanes);
    });
    for (int64_t i = n; i < count; ++i) p[i] = s[i] = E(0);
  }
}

/// to[row][·] += alpha · sums: the epilogue of every product that gathers a gradient in dense rows of d.
template <class V>
TESSERA_INLINE auto add_rows(typename V::Element* to, int64_t d, typename V::Element alpha) {
  using E = typename V::Element;
  return [=](int64_t row, int64_t column, int columns, const E* sums) TESSERA_INLINE_BODY {
    E* at = to + row * d + column;
    const V factor(alpha);
    sweep<V>(columns, [&](int64_t i, auto n) TESSERA_INLINE_BODY {
      store(fma(factor, V::load(sums + i), load<V>(at + i, n)), at + i, n);
    });
  };
}

template <class V, class T>
void write_rows(const typename V::Element* from, int64_t rows, int64_t d, const Head<T>& to, int64_t first) {
  for (int64_t r = 0; r < rows; ++r) {
    T* out = to.row(first + r);
    sweep<V>(d, [&](int64_t i, auto n) TESSERA_INLINE_BODY { store(load<V>(from + r * d + i, n), out + i, n); });
  }
}

template <class T>
void backward_head(const AttentionGradArgs& a, int64_t segment, int64_t head, const Sizes<T>& size,
                   typename Types<T>::U* buffer) {
  using V = typename Types<T>::V;
  using E = typename Types<T>::E;
  const BackwardBuffers<T> b(buffer, size);
  const int64_t d = size.d;
  const int64_t q0 = a.segments_q.begin(segment);
  const int64_t k0 = a.segments_kv.begin(segment);
  const int64_t keys = a.segments_kv.end(segment) - k0;
  const int64_t queries = a.segments_q.end(segment) - q0;
  const auto q = head_of<const T>(a.q, q0, head);
  const auto k = head_of<const T>(a.k, k0, head);
  const auto v = head_of<const T>(a.v, k0, head);
  const auto o = head_of<const T>(a.o, q0, head);
  const auto d_o = head_of<const T>(a.d_o, q0, head);
  const E* lse = a.lse.data<const E>() + head * a.lse.stride(0) + q0;
  const E* bias = a.bias ? a.bias.data<const E>() + head * a.bias.stride(0) : nullptr;
  const int64_t bias_stride = a.bias ? a.bias.stride(1) : 0;
  const auto scale = static_cast<E>(a.scale);

  pack_right(k.by_row(), keys, 0, d, b.keys);
  pack_right(v.by_row(), keys, 0, d, b.values);
  for (int64_t i = 0; i < keys * d; ++i) b.dk[i] = b.dv[i] = E(0);
  for (int64_t query = 0; query < queries; query += size.queries) {
    const int64_t rows = min_of(size.queries, queries - query);
    for (int64_t i = 0; i < rows * d; ++i) b.dq[i] = E(0);
    for (int64_t r = 0; r < rows; ++r) {
      V acc[4] = {V(0.0), V(0.0), V(0.0), V(0.0)};
      sweep4<V>(d, acc, [&](V& s, int64_t i, auto n) TESSERA_INLINE_BODY {
        s = fma(load<V>(o.row(query + r) + i, n), load<V>(d_o.row(query + r) + i, n), s);
      });
      b.lift[r] = total(acc);
    }
    const int64_t seen = a.causal ? min_of(keys, query + rows) : keys;
    for (int64_t first = 0; first < seen; first += kKeyBlock) {
      const int64_t count = min_of(kKeyBlock, seen - first);
      const int64_t stride = size.key_block;
      score_block<T>(q, query, rows, b.keys, first, count, d, a.scale, bias, bias_stride, b.panels, b.weights, stride);
      score_block<T>(d_o, query, rows, b.values, first, count, d, 1.0, static_cast<const E*>(nullptr), 0, b.panels,
                     b.slopes, stride);
      slope_block<V>(b.weights, b.slopes, stride, query, rows, first, count, a.causal, lse, b.lift);
      if (a.dbias) {
        for (int64_t r = 0; r < rows; ++r) {
          E* to = a.dbias.data<E>() + head * a.dbias.stride(0) + (query + r) * a.dbias.stride(1) + first;
          for (int64_t j = 0; j < count; ++j) to[j] += b.slopes[r * stride + j];
        }
      }
      pack_right(k.by_column(), d, first, count, b.keys_by_column);
      multiply_rows(Operand<E>{b.slopes, stride, 1}, 0, rows, d, count, b.keys_by_column, b.panels,
                    add_rows<V>(b.dq, d, scale));
      pack_right(q.by_column(), d, query, rows, b.right);
      multiply_rows(Operand<E>{b.slopes, 1, stride}, 0, count, d, rows, b.right, b.panels,
                    add_rows<V>(b.dk + first * d, d, scale));
      pack_right(d_o.by_column(), d, query, rows, b.right);
      multiply_rows(Operand<E>{b.weights, 1, stride}, 0, count, d, rows, b.right, b.panels,
                    add_rows<V>(b.dv + first * d, d, E(1)));
    }
    write_rows<V>(b.dq, rows, d, head_of<T>(a.dq, q0, head), query);
  }
  write_rows<V>(b.dk, keys, d, head_of<T>(a.dk, k0, head), 0);
  write_rows<V>(b.dv, keys, d, head_of<T>(a.dv, k0, head), 0);
}

template <class T>
void backward_as(Context& context, const AttentionGradArgs& a) {
  using E = typename Types<T>::E;
  using U = typename Types<T>::U;
  const Sizes<T> size(a.q, a.segments_q, a.segments_kv);
  const int64_t elements = BackwardBuffers<T>::elements(size);
  const Scratch scratch(context, static_cast<size_t>(elements * threads(context).threads()) * sizeof(U));
  const int64_t heads = a.q.size(1);
  if (a.dbias) {
    // Segments share the bias, so a task is a head and takes its segments in order.
    if (a.bias_mode == GradMode::overwrite) {
      for (int64_t i = 0; i < a.dbias.numel(); ++i) a.dbias.data<E>()[i] = E(0);
    }
    parallel_for(context, heads, 1, [&](int64_t begin, int64_t end, int thread) {
      for (int64_t head = begin; head < end; ++head) {
        for (int64_t s = 0; s < a.segments_q.count; ++s) {
          backward_head<T>(a, s, head, size, scratch.as<U>() + thread * elements);
        }
      }
    });
    return;
  }
  const int64_t work = size.queries * size.keys * max_of(1, size.d);
  parallel_for(context, a.segments_q.count * heads, max_of(1, 16 * kGrain / work),
               [&](int64_t begin, int64_t end, int thread) {
                 for (int64_t task = begin; task < end; ++task) {
                   backward_head<T>(a, task / heads, task % heads, size, scratch.as<U>() + thread * elements);
                 }
               });
}

void backward(Context& context, const AttentionGradArgs& a) {
  by_type(a.q.dtype, [&](auto zero) { backward_as<decltype(zero)>(context, a); });
}

}  // namespace

extern const AttentionKernels kAttentionKernels;
const AttentionKernels kAttentionKernels{.forward = forward, .backward = backward};

}  // namespace tessera::cpu::TESSERA_ISA

#include "engine/cpu/simd/isa_end.h"
