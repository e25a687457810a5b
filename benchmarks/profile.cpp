#include "benchmarks/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "benchmarks/measure.h"

namespace tessera::benchmarks {
namespace {

constexpr std::array<const char*, static_cast<size_t>(Part::count)> kNames = {
    "products", "attention", "packing", "normalisation", "pointwise", "sums", "rows and copies", "losses", "optimiser"};

/// One kernel with its clock. Every slot has arguments of its own type, so that type names the slot.
template <class Args>
struct Timed {
  static inline typename Kernel<Args>::Function inner = nullptr;
  static inline double (*flops)(const Args&) = nullptr;
  static inline Part part = Part::count;

  static void run(Context& context, const Args& args) {
    const double start = now(Clock::wall);
    inner(context, args);
    PartTimes::One& one = times_of_parts().parts[static_cast<size_t>(part)];
    one.seconds += now(Clock::wall) - start;
    one.flops += flops != nullptr ? flops(args) : 0.0;
    ++one.calls;
  }
};

template <class Args>
void time(Kernel<Args>& slot, Part part, double (*flops)(const Args&) = nullptr) {
  Timed<Args>::inner = slot.function;
  Timed<Args>::flops = flops;
  Timed<Args>::part = part;
  slot.function = Timed<Args>::run;
}

/// Two operations a multiply-add of a product [m, k] x [k, n].
double product(int64_t m, int64_t n, int64_t k) {
  return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
}

/// Pairs of a query and a key, by d: `products` products of that size.
double over_pairs(const View& q, const Segments& queries, const Segments& keys, bool causal, int products) {
  double pairs = 0;
  for (int64_t s = 0; s < queries.count; ++s) {
    const auto rows = static_cast<double>(queries.end(s) - queries.begin(s));
    const auto columns = static_cast<double>(keys.end(s) - keys.begin(s));
    pairs += causal ? rows * (rows + 1) / 2 : rows * columns;
  }
  return 2.0 * products * pairs * static_cast<double>(q.size(1) * q.size(2));
}

void time_products(KernelTable& t) {
  time<LinearArgs>(t.linear.forward, Part::products,
                   [](const LinearArgs& a) { return product(a.x.size(0), a.w.size(0), a.x.size(1)); });
  time<LinearDxArgs>(t.linear.grad_input, Part::products,
                     [](const LinearDxArgs& a) { return product(a.dy.size(0), a.w.size(1), a.dy.size(1)); });
  time<LinearDwArgs>(t.linear.grad_weight, Part::products,
                     [](const LinearDwArgs& a) { return product(a.dw.size(0), a.dw.size(1), a.x.size(0)); });
  time<MatmulArgs>(t.matmul.matmul, Part::products, [](const MatmulArgs& a) {
    return static_cast<double>(a.c.rank == 3 ? a.c.size(0) : 1) * product(a.c.size(-2), a.c.size(-1), a.a.size(-1));
  });
  time<AttentionArgs>(t.attention.forward, Part::attention,
                      [](const AttentionArgs& a) { return over_pairs(a.q, a.segments_q, a.segments_kv, a.causal, 2); });
  time<AttentionGradArgs>(t.attention.backward, Part::attention, [](const AttentionGradArgs& a) {
    return over_pairs(a.q, a.segments_q, a.segments_kv, a.causal, 5);
  });
}

void time_the_rest(KernelTable& t) {
  time(t.linear.pack, Part::packing);
  time(t.linear.prepare_dy, Part::pointwise);
  time(t.norm.layer_norm, Part::normalisation);
  time(t.norm.layer_norm_grad, Part::normalisation);
  time(t.norm.l2_normalize, Part::normalisation);
  time(t.norm.l2_normalize_grad, Part::normalisation);
  time(t.norm.column_moments, Part::normalisation);
  time(t.norm.batch_norm, Part::normalisation);
  time(t.norm.batch_norm_grad, Part::normalisation);
  time(t.pointwise.unary, Part::pointwise);
  time(t.pointwise.unary_grad, Part::pointwise);
  time(t.pointwise.binary, Part::pointwise);
  time(t.pointwise.axpby, Part::pointwise);
  time(t.pointwise.clamp, Part::pointwise);
  time(t.reduce.sum, Part::sums);
  time(t.reduce.segment_mean, Part::sums);
  time(t.reduce.segment_mean_grad, Part::sums);
  time(t.rows.gather, Part::rows);
  time(t.rows.scatter_add, Part::rows);
  time(t.patches.patchify, Part::rows);
  time(t.copy.copy, Part::rows);
  time(t.copy.fill, Part::rows);
  time(t.copy.add_diagonal, Part::rows);
  time(t.loss.cross_entropy, Part::losses);
  time(t.loss.cross_entropy_grad, Part::losses);
  time(t.patch_sentence.forward, Part::losses);
  time(t.patch_sentence.backward, Part::losses);
  time(t.optimizer.adamw, Part::optimiser);
  time(t.optimizer.lars, Part::optimiser);
  time(t.optimizer.norm2, Part::optimiser);
}

}  // namespace

PartTimes& times_of_parts() {
  static PartTimes times;
  return times;
}

const KernelTable& timed_kernels(const KernelTable& inner) {
  static KernelTable table = inner;
  table = inner;
  time_products(table);
  time_the_rest(table);
  return table;
}

std::string describe(const PartTimes& times, double steps, double seconds, double peak_flops) {
  std::string text = fmt::format("{:16} {:>10} {:>8} {:>8} {:>10}\n", "part", "s a step", "share", "calls", "of peak");
  double known = 0;
  for (size_t i = 0; i < kNames.size(); ++i) {
    const PartTimes::One& one = times.parts[i];
    known += one.seconds / steps;
    const double rate = one.seconds > 0 ? one.flops / one.seconds / peak_flops : 0;
    text += fmt::format("{:16} {:10.4f} {:7.1f}% {:8.0f} {:>10}\n", kNames[i], one.seconds / steps,
                        100 * one.seconds / steps / seconds, static_cast<double>(one.calls) / steps,
                        one.flops > 0 ? fmt::format("{:.1f}%", 100 * rate) : "");
  }
  text += fmt::format("{:16} {:10.4f} {:7.1f}%\n", "the rest", seconds - known, 100 * (seconds - known) / seconds);
  return text;
}

}  // namespace tessera::benchmarks
