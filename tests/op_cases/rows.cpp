#include "engine/ops/rows.h"

#include <fmt/format.h>

#include <algorithm>

#include "autograd/ops/rows.h"
#include "tests/op_cases/cases.h"

namespace tessera::test {
namespace {

struct GatherPick {
  int64_t sources, rows, width;
  bool index = true, fill = false, table = false;
  bool cross_type = false;  // y in the other of f32 and bf16
};

Problem gather_problem(Values& values, DType dtype, const GatherPick& pick) {
  const DType y_type = pick.cross_type ? other(dtype) : dtype;
  const Tensor index = values.integers({pick.rows}, pick.fill ? -1 : 0, pick.sources);
  constexpr int64_t kTableRows = 9;
  const Tensor table_index = values.integers({pick.rows}, 0, kTableRows);
  Problem p;
  p.name = fmt::format("{} of {} rows of {}{}{}{} to {}", pick.rows, pick.sources, pick.width,
                       pick.index ? "" : ", in order", pick.fill ? ", fill" : "", pick.table ? ", table" : "",
                       name_of(y_type));
  p.operands = {in("x", dtype, values.normal({pick.sources, pick.width})),
                pick.index ? in("index", DType::i32, index) : absent("index"),
                pick.fill ? in("fill", dtype, values.normal({1, pick.width})) : absent("fill"),
                pick.table ? in("table", dtype, values.normal({kTableRows, pick.width})) : absent("table"),
                pick.table ? in("table_index", DType::i32, table_index) : absent("table_index"),
                out("y", y_type, {pick.rows, pick.width}, {.c = pick.table ? 2.0 : 0.0, .floor = 1})};
  p.call = [](Context& c, const KernelTable& t, Views v, GradMode) {
    t.rows.gather(c, {.x = v[0], .index = v[1], .fill = v[2], .table = v[3], .table_index = v[4], .y = v[5]});
  };
  p.op = [=](Tensors t, GradMode) -> std::vector<Tensor> {
    GatherOptions options{.fill = t[2], .table = t[3], .out_dtype = y_type};
    if (t[4]) options.table_index = RowIndex(table_index.data<int32_t>(), kTableRows);
    return {gather_rows(t[0], t[1] ? RowIndex(index.data<int32_t>(), pick.sources) : RowIndex(), options)};
  };
  // No more than the rows that are read, even if none is read twice.
  if (pick.index && pick.rows < pick.sources) {
    p.moved[0] = static_cast<double>(pick.rows) / static_cast<double>(pick.sources);
  }
  return p;
}

std::vector<Problem> gather_problems(DType dtype) {
  Values values("gather_rows");
  std::vector<Problem> problems;
  for (const int64_t width : {0, 1, 7, 64, 193, 2051}) {
    problems.push_back(gather_problem(values, dtype, {5, 17, width}));
    problems.push_back(gather_problem(values, dtype, {5, 17, width, true, true, true, true}));
    problems.push_back(gather_problem(values, dtype, {17, 17, width, false, false, true}));
  }
  problems.push_back(gather_problem(values, dtype, {5, 0, 8, true, true, true}));
  problems.push_back(gather_problem(values, dtype, {3, 1, 33, true, false, false, true}));
  problems.push_back(gather_problem(values, dtype, {200, 401, 96, true, true}));
  problems.push_back(gather_problem(values, dtype, {200, 401, 96, true, false, true}));
  problems.push_back(gather_problem(values, dtype, {40, 40, 96, false, false, false, true}));
  return problems;
}

struct ScatterPick {
  int64_t rows, targets, width;
  bool skips = false;  // some rows name no target
  bool sorted = false, cross_type = false;
};

Problem scatter_problem(Values& values, DType dtype, const ScatterPick& pick) {
  const DType dx_type = pick.cross_type ? other(dtype) : dtype;
  Tensor index = values.integers({pick.rows}, pick.skips ? -1 : 0, pick.targets);
  if (pick.sorted) std::ranges::sort(index.data<int32_t>());
  const RowIndex rows(index.data<int32_t>(), pick.targets);
  const double repeats = static_cast<double>(pick.rows) / static_cast<double>(pick.targets);
  Problem p;
  p.name = fmt::format("{} rows of {} into {}{}{} as {}", pick.rows, pick.width, pick.targets,
                       pick.skips ? ", some nowhere" : "", pick.sorted ? ", sorted" : "", name_of(dx_type));
  p.operands = {in("dy", dtype, values.normal({pick.rows, pick.width})), in("index", DType::i32, index),
                in("order", DType::i32, rows.order()),
                sum_out("dx", dx_type, {pick.targets, pick.width}, {.c = 2, .k = repeats + 4, .floor = 1})};
  p.call = [](Context& c, const KernelTable& t, Views v, GradMode mode) {
    t.rows.scatter_add(c, {.dy = v[0], .index = v[1], .order = v[2], .dx = v[3], .mode = mode});
  };
  p.op = [=](Tensors t, GradMode mode) -> std::vector<Tensor> {
    scatter_add_rows(t[0], rows, {t[3], mode});
    return {};
  };
  p.flops = static_cast<double>(pick.rows * pick.width);
  return p;
}

std::vector<Problem> scatter_problems(DType dtype) {
  Values values("scatter_add_rows");
  std::vector<Problem> problems;
  for (const int64_t width : {0, 1, 7, 64, 193, 2049}) {
    problems.push_back(scatter_problem(values, dtype, {17, 5, width}));
    problems.push_back(scatter_problem(values, dtype, {17, 30, width, true, false, true}));
  }
  problems.push_back(scatter_problem(values, dtype, {0, 5, 8}));
  problems.push_back(scatter_problem(values, dtype, {600, 3, 257, true}));
  problems.push_back(scatter_problem(values, dtype, {600, 1, 129, true, false, true}));
  problems.push_back(scatter_problem(values, dtype, {401, 200, 96, true, true}));
  problems.push_back(scatter_problem(values, dtype, {50, 900, 33}));
  problems.push_back(scatter_problem(values, dtype, {700, 20, 1024}));
  problems.push_back(scatter_problem(values, dtype, {350, 1, 768, true, false, true}));
  return problems;
}

OpCase gather_case() {
  Values values("gather gradients");
  const std::vector<int32_t> rows{2, -1, 0, 2, 1, -1, 2};
  const std::vector<int32_t> table_rows{0, 1, 1, 3, 0, 2, 3};
  OpCase c;
  c.name = "gather_rows";
  c.slots = {"rows.gather"};
  c.problems = gather_problems;
  c.gradients = {
      {.name = "repeated rows, fill and table",
       .inputs = {{values.normal({4, 3})}, {values.normal({1, 3})}, {values.normal({4, 3})}},
       .forward =
           [=](const auto& v, DType t) {
             return autograd::gather_rows(
                 v[0], RowIndex(rows, 4),
                 {.fill = v[1], .table = v[2], .table_index = RowIndex(table_rows, 4), .out_dtype = t});
           },
       .k = 4},
      {.name = "all rows and a table, to the other type",
       .inputs = {{values.normal({7, 3})}, {values.normal({4, 3})}},
       .forward =
           [=](const auto& v, DType t) {
             return autograd::gather_rows(v[0], {},
                                          {.table = v[1], .table_index = RowIndex(table_rows, 4), .out_dtype = t});
           },
       .k = 4},
      {.name = "concatenated, one of them twice",
       .inputs = {{values.normal({4, 3})}, {values.normal({2, 3})}},
       .forward = [](const auto& v,
                     DType) { return autograd::concatenate_rows(autograd::concatenate_rows(v[0], v[1]), v[0]); },
       .k = 2}};
  const Tensor x = Tensor::zeros({4, 3});
  const RowIndex index(rows, 4);
  const auto call = [](const Tensor& source, const RowIndex& i, const GatherOptions& o) {
    return [=] { (void)gather_rows(source, i, o); };
  };
  GatherOptions good;
  good.fill = Tensor::zeros({1, 3});
  GatherOptions wide_fill = good;
  wide_fill.fill = Tensor::zeros({1, 4});
  GatherOptions narrow_fill = good;
  narrow_fill.fill = Tensor::zeros({1, 3}, DType::bf16);
  GatherOptions short_table = good;
  short_table.table = Tensor::zeros({2, 3});
  short_table.table_index = RowIndex(table_rows, 4);
  GatherOptions f64 = good;
  f64.out_dtype = DType::f64;
  c.refusals = {{"fill is absent", ErrorKind::shape, call(x, index, {})},
                {"rows of x", ErrorKind::shape, call(Tensor::zeros({5, 3}), index, good)},
                {"width of fill", ErrorKind::shape, call(x, index, wide_fill)},
                {"rows of the table", ErrorKind::shape, call(x, index, short_table)},
                {"strided x", ErrorKind::shape, call(Tensor::zeros({3, 4}).transpose(0, 1), index, good)},
                {"fill in bf16", ErrorKind::dtype, call(x, index, narrow_fill)},
                {"f64 result of f32", ErrorKind::dtype, call(x, index, f64)},
                {"integers", ErrorKind::dtype, call(Tensor::zeros({4, 3}, DType::i32), index, good)},
                {"concatenated widths", ErrorKind::shape,
                 [=] {
                   (void)autograd::concatenate_rows(x, Tensor::zeros({4, 2}));
                 }},
                {"an index beyond the rows", ErrorKind::shape, [=] { (void)RowIndex(rows, 2); }}};
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("gather benchmark");
    const GatherPick visible{s.rows(), s.batch * s.visible, s.width};
    const GatherPick words{s.vocabulary, s.batch * s.caption, s.text_width};
    return std::vector{gather_problem(v, dtype, visible), gather_problem(v, dtype, words)};
  };
  return c;
}

OpCase scatter_case() {
  OpCase c;
  c.name = "scatter_add_rows";
  c.slots = {"rows.scatter_add"};
  c.problems = scatter_problems;
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("scatter benchmark");
    return std::vector{scatter_problem(v, dtype, {s.batch * s.visible, s.rows(), s.width, false, true}),
                       scatter_problem(v, dtype, {s.batch * s.caption, s.vocabulary, s.text_width}),
                       scatter_problem(v, dtype, {s.rows(), 1, s.width})};
  };
  const RowIndex index(std::vector<int32_t>{2, 0, 1}, 4);
  const auto call = [=](const Tensor& dy, const Tensor& dx) {
    return [=] { scatter_add_rows(dy, index, {dx, GradMode::overwrite}); };
  };
  c.refusals = {{"rows of dy", ErrorKind::shape, call(Tensor::zeros({4, 2}), Tensor::zeros({4, 2}))},
                {"rows of dx", ErrorKind::shape, call(Tensor::zeros({3, 2}), Tensor::zeros({3, 2}))},
                {"strided dy", ErrorKind::shape, call(Tensor::zeros({2, 3}).transpose(0, 1), Tensor::zeros({4, 2}))},
                {"f64 into f32", ErrorKind::dtype, call(Tensor::zeros({3, 2}, DType::f64), Tensor::zeros({4, 2}))}};
  return c;
}

}  // namespace

std::vector<OpCase> rows_cases() { return {gather_case(), scatter_case()}; }

}  // namespace tessera::test
