#include "engine/ops/linear.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "tests/op_cases/cases.h"
#include "tests/op_cases/linear_gradients.h"

namespace tessera::test {
namespace {

struct Extents {
  int64_t m, n, k;
};
/// Each extent is empty, 1, prime, one more than the tiles of 14, 16 and 32, or more than a block of K or of rows; the
/// last are whole vectors of every kind, and several tiles of 64.
const std::vector<Extents> kExtents{{0, 5, 7},      {5, 0, 7},     {5, 7, 0},      {1, 1, 1},    {1, 37, 19},
                                    {13, 1, 33},    {14, 32, 64},  {15, 33, 65},   {29, 97, 31}, {67, 130, 101},
                                    {17, 34, 1100}, {300, 20, 48}, {40, 1050, 21}, {5, 7, 1537}, {72, 136, 200}};
/// Many rows with several blocks in the sum over k, or over n.
constexpr Extents kManyRows{480, 3, 1535}, kManyRowsOverN{480, 1535, 3};

struct LinearPick {
  Extents extents{};
  Act act = Act::none;
  bool bias = false, row_scale = false, pre = false, pack = false, in_place = false;
  std::optional<DType> residual{};
  std::optional<DType> y{};
  bool strided = false;
};

double flops(Extents e) { return 2.0 * static_cast<double>(e.m) * static_cast<double>(e.n) * static_cast<double>(e.k); }

/// A sum of k products that was scaled to be of size 1.
Tolerance unit_sum(int64_t k) { return {.c = 2, .k = static_cast<double>(std::max<int64_t>(k, 4)), .floor = 1}; }
/// A sum of k terms of size 1.
Tolerance plain_sum(int64_t k) {
  const auto terms = static_cast<double>(std::max<int64_t>(k, 4));
  return {.c = 2, .k = terms, .floor = std::sqrt(terms)};
}

Tensor weights(Values& values, Extents e) {
  return values.normal({e.n, e.k}, 1 / std::sqrt(std::max(1.0, static_cast<double>(e.k))));
}

/// Packs into guarded memory and runs with the bytes, those of the forward side where the table keeps none for this
/// one, or with an absent pack where it keeps none at all.
template <class Use>
void with_pack(Context& c, const KernelTable& t, const View& w, DType compute, Side wanted, const Use& use) {
  const auto bytes_of = [&](Side side) { return t.linear.pack_bytes(w.size(0), w.size(1), compute, side); };
  const Side side = bytes_of(wanted) > 0 ? wanted : Side::forward;
  const size_t bytes = bytes_of(side);
  if (bytes == 0) return use(View{});
  const Guarded pack({static_cast<int64_t>(bytes)}, DType::u8, {}, c.device());
  const View forward = side == Side::forward ? View(pack.tensor()) : View{};
  const View grad_input = side == Side::grad_input ? View(pack.tensor()) : View{};
  t.linear.pack(c, {.w = w, .compute = compute, .forward = forward, .grad_input = grad_input});
  if (!pack.guards_intact()) throw std::runtime_error("pack writes outside its destination");
  use(View(pack.tensor()));
}

/// The pack of a weight that a training step keeps, or an absent tensor where the table makes none.
Tensor kept_pack(Context& c, const KernelTable& t, const View& w, DType compute, Side wanted) {
  const auto bytes_of = [&](Side side) { return t.linear.pack_bytes(w.size(0), w.size(1), compute, side); };
  const Side side = bytes_of(wanted) > 0 ? wanted : Side::forward;
  if (bytes_of(side) == 0) return {};
  Tensor pack = Tensor::empty({static_cast<int64_t>(bytes_of(side))}, DType::u8, c.device());
  const View forward = side == Side::forward ? View(pack) : View{};
  const View grad_input = side == Side::grad_input ? View(pack) : View{};
  t.linear.pack(c, {.w = w, .compute = compute, .forward = forward, .grad_input = grad_input});
  return pack;
}

/// A call that reads a pack reads no wide weight.
double packed_share(DType compute) {
  return static_cast<double>(size_of(compute)) / static_cast<double>(size_of(wide(compute)));
}

Problem forward_problem(Values& values, DType dtype, const LinearPick& pick) {
  const auto [m, n, k] = pick.extents;
  const DType y_type = pick.y.value_or(dtype);
  const Layout rows = pick.strided ? padded(5) : Layout{};
  const SegmentTable segments = pick.row_scale ? samples(m) : SegmentTable();
  Problem p;
  p.name = fmt::format("{}x{}x{} act {}{}{}{}{}{}{}{} to {}", m, n, k, static_cast<int>(pick.act),
                       pick.bias ? " bias" : "", pick.residual ? " residual" : "", pick.row_scale ? " scale" : "",
                       pick.pre ? " pre" : "", pick.pack ? " pack" : "", pick.strided ? " strided" : "",
                       pick.in_place ? " in place" : "", name_of(y_type));
  p.operands = {in("x", dtype, values.normal({m, k}), rows),
                in("w", wide(dtype), weights(values, pick.extents), rows),
                pick.bias ? in("bias", wide(dtype), values.normal({n})) : absent("bias"),
                pick.residual && !pick.in_place ? in("residual", *pick.residual, values.normal({m, n}), rows)
                                                : absent("residual"),
                pick.row_scale ? in("row_scale", wide(dtype), sample_scales()) : absent("row_scale"),
                pick.pre ? out("pre", dtype, {m, n}, unit_sum(k)) : absent("pre"),
                pick.in_place ? inout("y", y_type, values.normal({m, n}), unit_sum(k))
                              : out("y", y_type, {m, n}, unit_sum(k), rows)};
  const auto run = [=](Context& c, const KernelTable& t, Views v, const View& pack) {
    t.linear.forward(c, {.x = v[0],
                         .w = v[1],
                         .pack = pack,
                         .bias = v[2],
                         .residual = pick.in_place ? v[6] : v[3],
                         .row_scale = v[4],
                         .segments = segments.on(c.device()),
                         .act = pick.act,
                         .pre = v[5],
                         .y = v[6]});
  };
  p.call = [=](Context& c, const KernelTable& t, Views v, GradMode) {
    const auto use = [&](const View& pack) { run(c, t, v, pack); };
    pick.pack ? with_pack(c, t, v[1], dtype, Side::forward, use) : use({});
  };
  if (pick.pack) {
    p.ready = [=](Context& c, const KernelTable& t, Views v) -> std::function<void()> {
      return [=, &c, &t, pack = kept_pack(c, t, v[1], dtype, Side::forward)] { run(c, t, v, pack); };
    };
    p.moved[1] = packed_share(dtype);
  }
  if (!pick.in_place && !pick.strided) {
    p.op = [=](Tensors t, GradMode) -> std::vector<Tensor> {
      const LinearResult r = linear(t[0], t[1],
                                    {.act = pick.act,
                                     .bias = t[2],
                                     .residual = t[3],
                                     .row_scale = t[4],
                                     .segments = segments,
                                     .out_dtype = y_type,
                                     .save_pre = pick.pre});
      return pick.pre ? std::vector{r.pre, r.y} : std::vector{r.y};
    };
  }
  if (!pick.row_scale && !pick.in_place) {
    p.batch = {{0, 0}, {6, 0}};
    if (pick.pre) p.batch.push_back({5, 0});
    if (pick.residual) p.batch.push_back({3, 0});
  }
  p.flops = flops(pick.extents);
  return p;
}

std::vector<Problem> forward_problems(DType dtype) {
  Values values("linear");
  std::vector<Problem> problems;
  for (const Extents& e : kExtents) {
    problems.push_back(forward_problem(values, dtype, {.extents = e}));
    problems.push_back(
        forward_problem(values, dtype, {.extents = e, .act = Act::gelu_erf, .bias = true, .pre = true, .pack = true}));
    problems.push_back(forward_problem(
        values, dtype,
        {.extents = e, .bias = true, .row_scale = true, .pack = true, .residual = wide(dtype), .y = wide(dtype)}));
  }
  const Extents odd{47, 71, 53};
  const std::vector<LinearPick> picks{
      {.extents = odd, .act = Act::quick_gelu, .bias = true, .pre = true},
      {.extents = odd, .act = Act::quick_gelu, .pre = true, .residual = dtype},
      {.extents = odd, .act = Act::gelu_erf, .row_scale = true, .residual = wide(dtype)},
      {.extents = odd, .bias = true, .residual = dtype},
      {.extents = odd, .row_scale = true, .y = wide(dtype)},
      {.extents = odd, .bias = true, .strided = true},
      {.extents = odd, .bias = true, .pack = true, .residual = wide(dtype), .y = wide(dtype), .strided = true},
      {.extents = odd, .bias = true, .in_place = true, .residual = wide(dtype), .y = wide(dtype)},
      {.extents = odd, .bias = true, .row_scale = true, .in_place = true, .residual = dtype}};
  for (const LinearPick& pick : picks) problems.push_back(forward_problem(values, dtype, pick));
  if (dtype != DType::f64) problems.push_back(forward_problem(values, dtype, {.extents = kManyRows, .pack = true}));
  return problems;
}

struct PreparePick {
  int64_t rows, columns;
  DType out;
  bool row_scale = false, col_sum = true, cast = true;
};

Problem prepare_problem(Values& values, DType dtype, const PreparePick& pick) {
  const SegmentTable segments = pick.row_scale ? samples(pick.rows) : SegmentTable();
  Problem p;
  p.name =
      fmt::format("[{},{}] to {}{}{}{}", pick.rows, pick.columns, name_of(pick.out), pick.row_scale ? " scaled" : "",
                  pick.col_sum ? " summed" : "", pick.cast ? "" : " without cast");
  p.operands = {
      in("dy", dtype, values.normal({pick.rows, pick.columns})),
      pick.row_scale ? in("row_scale", wide(dtype), sample_scales()) : absent("row_scale"),
      pick.cast ? out("out", pick.out, {pick.rows, pick.columns}, {.c = 2, .elementwise = true}) : absent("out"),
      pick.col_sum ? sum_out("col_sum", wide(dtype), {pick.columns}, plain_sum(pick.rows)) : absent("col_sum")};
  p.call = [=](Context& c, const KernelTable& t, Views v, GradMode mode) {
    t.linear.prepare_dy(c, {.dy = v[0],
                            .row_scale = v[1],
                            .segments = segments.on(c.device()),
                            .out = v[2],
                            .col_sum = v[3],
                            .sum_mode = mode});
  };
  if (pick.cast && (pick.out != dtype || pick.row_scale)) {
    p.op = [=](Tensors t, GradMode mode) -> std::vector<Tensor> {
      return {prepare_dy(t[0], t[1], segments, pick.out, {t[3], mode})};
    };
  }
  p.flops = static_cast<double>(pick.rows * pick.columns) * (pick.col_sum ? 1 : 0);
  return p;
}

std::vector<Problem> prepare_problems(DType dtype) {
  Values values("prepare_dy");
  std::vector<Problem> problems;
  const DType narrow = dtype == DType::f64 ? DType::f64 : DType::bf16;
  for (const auto& [rows, columns] :
       {std::pair<int64_t, int64_t>{0, 7}, {7, 0}, {1, 1}, {13, 37}, {256, 33}, {257, 131}, {513, 70}, {3, 2049}}) {
    for (const bool scaled : {false, true}) {
      problems.push_back(prepare_problem(values, dtype, {rows, columns, narrow, scaled}));
      problems.push_back(prepare_problem(values, dtype, {rows, columns, wide(dtype), scaled, false}));
      problems.push_back(prepare_problem(values, dtype, {rows, columns, narrow, scaled, true, false}));
    }
  }
  return problems;
}

struct DxPick {
  Extents extents{};
  Act act = Act::none;
  bool pack = false, col_sum = false, strided = false;
  std::optional<DType> dx{};
  bool value = false, in_place = false;  // the activation beside the slope, and in the place of pre
};

Problem dx_problem(Values& values, DType dtype, const DxPick& pick) {
  const auto [m, n, k] = pick.extents;
  const DType dx_type = pick.dx.value_or(dtype);
  const Layout rows = pick.strided ? padded(3) : Layout{};
  Problem p;
  p.name = fmt::format("{}x{}x{} act {}{}{}{}{}{} to {}", m, n, k, static_cast<int>(pick.act), pick.pack ? " pack" : "",
                       pick.col_sum ? " summed" : "", pick.strided ? " strided" : "", pick.value ? " value" : "",
                       pick.in_place ? " in place" : "", name_of(dx_type));
  const Tensor w = values.normal({n, k}, 1 / std::sqrt(std::max(1.0, static_cast<double>(n))));
  const Tolerance activation{.c = 6, .floor = 1, .elementwise = true};
  auto pre = absent("pre");
  if (pick.act != Act::none) {
    const Tensor x = values.normal({m, k});
    pre = pick.in_place ? inout("pre", dtype, x, activation) : in("pre", dtype, x, rows);
  }
  p.operands = {in("dy", dtype, values.normal({m, n}), rows),
                in("w", wide(dtype), w, rows),
                pre,
                sum_out("dx", dx_type, {m, k}, unit_sum(n), rows),
                pick.col_sum ? sum_out("col_sum", wide(dtype), {k}, plain_sum(m + n)) : absent("col_sum"),
                pick.value && !pick.in_place ? out("value", dtype, {m, k}, activation, rows) : absent("value")};
  const auto run = [=](Context& c, const KernelTable& t, Views v, const View& pack, GradMode mode) {
    t.linear.grad_input(c, {.dy = v[0],
                            .w = v[1],
                            .pack = pack,
                            .pre = v[2],
                            .act = pick.act,
                            .dx = v[3],
                            .value = pick.in_place ? v[2] : v[5],
                            .col_sum = v[4],
                            .mode = mode,
                            .sum_mode = mode});
  };
  p.call = [=](Context& c, const KernelTable& t, Views v, GradMode mode) {
    const auto use = [&](const View& pack) { run(c, t, v, pack, mode); };
    pick.pack ? with_pack(c, t, v[1], dtype, Side::grad_input, use) : use({});
  };
  if (pick.pack) {
    p.ready = [=](Context& c, const KernelTable& t, Views v) -> std::function<void()> {
      return [=, &c, &t, pack = kept_pack(c, t, v[1], dtype, Side::grad_input)] {
        run(c, t, v, pack, GradMode::overwrite);
      };
    };
    p.moved[1] = packed_share(dtype);
  }
  if (!pick.in_place) {
    p.op = [=](Tensors t, GradMode mode) -> std::vector<Tensor> {
      linear_grad_input(t[0], t[1], {t[3], mode},
                        {.act = pick.act, .pre = t[2], .value = t[5], .col_sum = {t[4], mode}});
      return {};
    };
  }
  if (!pick.col_sum) {
    p.batch = {{0, 0}, {3, 0}};
    if (pick.act != Act::none) p.batch.push_back({2, 0});
    if (pick.value) p.batch.push_back({5, 0});
  }
  p.flops = flops(pick.extents);
  return p;
}

std::vector<Problem> dx_problems(DType dtype) {
  Values values("linear_grad_input");
  std::vector<Problem> problems;
  for (Extents e : kExtents) {
    problems.push_back(dx_problem(values, dtype, {.extents = e}));
    problems.push_back(dx_problem(values, dtype, {.extents = e, .act = Act::gelu_erf, .pack = true, .col_sum = true}));
    problems.push_back(dx_problem(
        values, dtype,
        {.extents = e, .act = Act::gelu_erf, .pack = true, .col_sum = true, .value = true, .in_place = true}));
    std::swap(e.n, e.k);
    problems.push_back(dx_problem(values, dtype, {.extents = e, .pack = true, .dx = wide(dtype)}));
  }
  const Extents odd{47, 71, 53};
  problems.push_back(dx_problem(values, dtype, {.extents = odd, .act = Act::quick_gelu}));
  problems.push_back(dx_problem(
      values, dtype, {.extents = odd, .act = Act::quick_gelu, .col_sum = true, .strided = true, .dx = wide(dtype)}));
  for (const Act act : {Act::gelu_erf, Act::quick_gelu}) {
    problems.push_back(dx_problem(values, dtype, {.extents = odd, .act = act, .value = true}));
  }
  problems.push_back(dx_problem(values, dtype, {.extents = odd, .act = Act::gelu_erf, .strided = true, .value = true}));
  problems.push_back(dx_problem(values, dtype, {.extents = odd, .pack = true, .strided = true}));
  problems.push_back(dx_problem(values, dtype, {.extents = {600, 19, 35}, .col_sum = true}));
  if (dtype != DType::f64) problems.push_back(dx_problem(values, dtype, {.extents = kManyRowsOverN, .pack = true}));
  return problems;
}

Problem dw_problem(Values& values, DType dtype, Extents e, bool strided) {
  const Layout rows = strided ? padded(7) : Layout{};
  Problem p;
  p.name = fmt::format("{}x{}x{}{}", e.m, e.n, e.k, strided ? " strided" : "");
  p.operands = {in("dy", dtype, values.normal({e.m, e.n}), rows), in("x", dtype, values.normal({e.m, e.k}), rows),
                sum_out("dw", wide(dtype), {e.n, e.k}, plain_sum(e.m), rows)};
  p.call = [](Context& c, const KernelTable& t, Views v, GradMode mode) {
    t.linear.grad_weight(c, {.dy = v[0], .x = v[1], .dw = v[2], .mode = mode});
  };
  p.op = [](Tensors t, GradMode mode) -> std::vector<Tensor> {
    linear_grad_weight(t[0], t[1], {t[2], mode});
    return {};
  };
  p.flops = flops(e);
  return p;
}

std::vector<Problem> dw_problems(DType dtype) {
  Values values("linear_grad_weight");
  std::vector<Problem> problems;
  for (const Extents& e : kExtents) problems.push_back(dw_problem(values, dtype, e, false));
  // Two and three blocks of k, here the rows, for a wide and a tall gradient, and one of several blocks of rows.
  for (const Extents& e : {Extents{1100, 17, 34}, {1537, 5, 34}, {769, 34, 17}, {1537, 34, 5}, {1096, 24, 40}}) {
    problems.push_back(dw_problem(values, dtype, e, false));
  }
  if (dtype == DType::f32) problems.push_back(dw_problem(values, dtype, {1535, 480, 3}, false));
  problems.push_back(dw_problem(values, dtype, {2, 3, 4}, false));
  problems.push_back(dw_problem(values, dtype, {47, 71, 53}, true));
  return problems;
}

std::vector<Refusal> forward_refusals() {
  const Tensor x = Tensor::zeros({4, 3});
  const Tensor w = Tensor::zeros({5, 3});
  const auto call = [](const Tensor& a, const Tensor& b, const LinearOptions& o) {
    return [=] { (void)linear(a, b, o); };
  };
  return {{"columns of w", ErrorKind::shape, call(x, Tensor::zeros({5, 4}), {})},
          {"rank of x", ErrorKind::shape, call(Tensor::zeros({2, 2, 3}), w, {})},
          {"bias", ErrorKind::shape, call(x, w, {.bias = Tensor::zeros({4})})},
          {"residual", ErrorKind::shape, call(x, w, {.residual = Tensor::zeros({4, 4})})},
          {"row_scale", ErrorKind::shape,
           call(x, w, {.row_scale = Tensor::zeros({3}), .segments = SegmentTable::uniform(2, 2)})},
          {"row_scale in f64", ErrorKind::dtype,
           call(x, w, {.row_scale = Tensor::zeros({1}, DType::f64), .segments = SegmentTable::uniform(1, 4)})},
          {"segments", ErrorKind::shape,
           call(x, w, {.row_scale = Tensor::zeros({2}), .segments = SegmentTable::uniform(2, 3)})},
          {"strided columns", ErrorKind::shape, call(Tensor::zeros({3, 4}).transpose(0, 1), w, {})},
          {"bf16 weight", ErrorKind::dtype, call(x, Tensor::zeros({5, 3}, DType::bf16), {})},
          {"integers", ErrorKind::dtype, call(Tensor::zeros({4, 3}, DType::i32), w, {})},
          {"f64 result of f32", ErrorKind::dtype, call(x, w, {.out_dtype = DType::f64})},
          {"bias in bf16", ErrorKind::dtype, call(x, w, {.bias = Tensor::zeros({5}, DType::bf16)})},
          {"absent weight", ErrorKind::shape, call(x, {}, {})}};
}

OpCase grad_input_case() {
  OpCase c;
  c.name = "linear_grad_input";
  c.slots = {"linear.grad_input"};
  c.problems = dx_problems;
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("linear_grad_input benchmark");
    const int64_t m = s.rows(), d = s.width;
    return std::vector{
        dx_problem(v, dtype, {.extents = {m, 3 * d, d}, .pack = true}),
        dx_problem(v, dtype, {.extents = {m, d, d}, .pack = true}),
        dx_problem(v, dtype, {.extents = {m, s.hidden, d}, .pack = true}),
        dx_problem(v, dtype,
                   {.extents = {m, d, s.hidden}, .act = Act::gelu_erf, .pack = true, .col_sum = true, .value = true})};
  };
  const Tensor dy = Tensor::zeros({4, 5});
  const Tensor w = Tensor::zeros({5, 3});
  const auto call = [](const Tensor& a, const Tensor& b, const Tensor& pre, const Tensor& dx, const Tensor& sum) {
    return [=] {
      linear_grad_input(a, b, {dx, GradMode::overwrite},
                        {.act = pre ? Act::gelu_erf : Act::none, .pre = pre, .col_sum = {sum, GradMode::overwrite}});
    };
  };
  c.refusals = {{"dy", ErrorKind::shape, call(Tensor::zeros({4, 4}), w, {}, Tensor::zeros({4, 3}), {})},
                {"dx", ErrorKind::shape, call(dy, w, {}, Tensor::zeros({4, 5}), {})},
                {"pre", ErrorKind::shape, call(dy, w, Tensor::zeros({4, 5}), Tensor::zeros({4, 3}), {})},
                {"col_sum", ErrorKind::shape, call(dy, w, {}, Tensor::zeros({4, 3}), Tensor::zeros({5}))},
                {"dx in bf16", ErrorKind::dtype, call(dy, w, {}, Tensor::zeros({4, 3}, DType::bf16), {})}};
  return c;
}

OpCase grad_weight_case() {
  OpCase c;
  c.name = "linear_grad_weight";
  c.slots = {"linear.grad_weight"};
  c.problems = dw_problems;
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("linear_grad_weight benchmark");
    const int64_t m = s.rows(), d = s.width;
    return std::vector{dw_problem(v, dtype, {m, 3 * d, d}, false), dw_problem(v, dtype, {m, d, d}, false),
                       dw_problem(v, dtype, {m, s.hidden, d}, false), dw_problem(v, dtype, {m, d, s.hidden}, false)};
  };
  const auto call = [](const Tensor& dy, const Tensor& x, const Tensor& dw) {
    return [=] { linear_grad_weight(dy, x, {dw, GradMode::overwrite}); };
  };
  const Tensor dy = Tensor::zeros({4, 5});
  const Tensor x = Tensor::zeros({4, 3});
  c.refusals = {
      {"rows", ErrorKind::shape, call(Tensor::zeros({3, 5}), x, Tensor::zeros({5, 3}))},
      {"dw", ErrorKind::shape, call(dy, x, Tensor::zeros({3, 5}))},
      {"types of dy and x", ErrorKind::dtype, call(Tensor::zeros({4, 5}, DType::bf16), x, Tensor::zeros({5, 3}))},
      {"dw in bf16", ErrorKind::dtype, call(dy, x, Tensor::zeros({5, 3}, DType::bf16))}};
  return c;
}

OpCase prepare_case() {
  OpCase c;
  c.name = "prepare_dy";
  c.slots = {"linear.prepare_dy"};
  c.problems = prepare_problems;
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("prepare_dy benchmark");
    return std::vector{prepare_problem(v, wide(dtype), {s.rows(), s.width, dtype == DType::f64 ? dtype : DType::bf16}),
                       prepare_problem(v, dtype, {s.rows(), 3 * s.width, dtype, false, true, false})};
  };
  c.refusals = {
      {"rank", ErrorKind::shape, [] { (void)prepare_dy(Tensor::zeros({4}), {}, {}, DType::f32, {}); }},
      {"col_sum", ErrorKind::shape,
       [] {
         (void)prepare_dy(Tensor::zeros({4, 3}), {}, {}, DType::f32, {Tensor::zeros({4}), GradMode::overwrite});
       }},
      {"row_scale in bf16", ErrorKind::dtype, [] {
         (void)prepare_dy(Tensor::zeros({4, 3}), Tensor::zeros({2}, DType::bf16), SegmentTable::uniform(2, 2),
                          DType::f32, {});
       }}};
  return c;
}

}  // namespace

std::vector<OpCase> linear_cases() {
  OpCase forward;
  forward.name = "linear";
  forward.slots = {"linear.forward", "linear.pack"};
  forward.problems = forward_problems;
  forward.gradients = linear_gradients();
  forward.refusals = forward_refusals();
  forward.refusals.push_back({"pack of nothing", ErrorKind::shape, [] {
                                Packed packed;
                                refresh_packs({}, DType::bf16, 1, packed);
                              }});
  forward.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("linear benchmark");
    const int64_t m = s.rows(), d = s.width;
    const LinearPick wide_out{.bias = true, .pack = true, .residual = wide(dtype), .y = wide(dtype)};
    LinearPick projection = wide_out, fc2 = wide_out;
    projection.extents = {m, d, d};
    fc2.extents = {m, d, s.hidden};
    return std::vector{
        forward_problem(v, dtype, projection),
        forward_problem(v, dtype, {.extents = {m, 3 * d, d}, .bias = true, .pack = true}),
        forward_problem(v, dtype,
                        {.extents = {m, s.hidden, d}, .act = Act::gelu_erf, .bias = true, .pre = true, .pack = true}),
        forward_problem(v, dtype, fc2)};
  };
  return {forward, prepare_case(), grad_input_case(), grad_weight_case()};
}

}  // namespace tessera::test
