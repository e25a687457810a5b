#include "engine/ops/optimizer.h"

#include <fmt/format.h>

#include "tests/op_cases/cases.h"

namespace tessera::test {
namespace {

using Ranges = std::vector<ParameterRange>;

/// An arena of ranges with gaps of 3 elements. Every third range is frozen; rates and decays differ.
struct Arena {
  std::string name;
  int64_t size = 0;
  Ranges ranges;
  std::vector<uint8_t> adapt;

  Arena(std::string label, const std::vector<int64_t>& counts) : name(std::move(label)) {
    for (size_t i = 0; i < counts.size(); ++i) {
      ranges.push_back({size, counts[i], i % 2 == 0 ? 1.0f : 0.5f, i % 4 < 2 ? 0.125f : 0.0f, i % 3 == 2});
      adapt.push_back(i % 2 == 0);
      size += counts[i] + 3;
    }
  }
};

std::vector<Arena> arenas() {
  return {{"no range", {}},
          {"an empty range", {0}},
          {"one element", {1}},
          {"several", {17, 5, 33, 130, 1, 64, 7}},
          {"more than a launch names", std::vector<int64_t>(101, 10)},
          {"large", {65537, 40, 9, 16385, 16384}}};
}

StepState step_state() {
  StepState s;
  s.lr = 0.0625;
  s.beta1 = 0.9;
  s.beta2 = 0.98;
  s.eps = 1e-6;
  s.bias_correction1 = 0.271;
  s.bias_correction2 = 0.0588;
  s.gradient_scale = 0.75;
  return s;
}

// A result is a sum of terms of up to about 4 that may cancel.
constexpr Tolerance kUpdate{.c = 4, .floor = 4, .elementwise = true};

Problem adamw_problem(Values& values, DType dtype, const Arena& arena) {
  const Shape shape{arena.size};
  Problem p;
  p.name = arena.name;
  p.operands = {inout("value", dtype, values.normal(shape), kUpdate), in("grad", dtype, values.normal(shape)),
                inout("m", dtype, values.normal(shape, 0.1), kUpdate),
                inout("v", dtype, values.uniform(shape, 0.01, 1), kUpdate)};
  p.call = [=, ranges = arena.ranges](Context& c, const KernelTable& t, Views v, GradMode) {
    const StepState state = step_state();
    t.optimizer.adamw(c, {.value = v[0], .grad = v[1], .m = v[2], .v = v[3], .ranges = ranges, .state = &state});
  };
  p.op = [=, ranges = arena.ranges](Tensors t, GradMode) -> std::vector<Tensor> {
    adamw(t[0], t[1], t[2], t[3], ranges, step_state());
    return {};
  };
  p.flops = 14.0 * static_cast<double>(arena.size);
  return p;
}

Problem lars_problem(Values& values, DType dtype, const Arena& arena, double gradients) {
  const Shape shape{arena.size};
  Problem p;
  p.name = fmt::format("{}, gradients of {}", arena.name, gradients);
  p.operands = {inout("value", dtype, values.normal(shape, gradients == 0 ? 0 : 1), kUpdate),
                in("grad", dtype, values.normal(shape, gradients)),
                inout("momentum", dtype, values.normal(shape), kUpdate)};
  p.call = [=, ranges = arena.ranges, adapt = arena.adapt](Context& c, const KernelTable& t, Views v, GradMode) {
    const StepState state = step_state();
    t.optimizer.lars(c, {.value = v[0],
                         .grad = v[1],
                         .momentum = v[2],
                         .ranges = ranges,
                         .adapt = adapt,
                         .state = &state,
                         .mu = 0.9,
                         .trust = 0.02});
  };
  p.op = [=, ranges = arena.ranges, adapt = arena.adapt](Tensors t, GradMode) -> std::vector<Tensor> {
    lars(t[0], t[1], t[2], ranges, adapt, step_state(), 0.9, 0.02);
    return {};
  };
  p.flops = 11.0 * static_cast<double>(arena.size);
  p.moved = {{0, 1.5}, {1, 2}};  // the norms decide the step, so both are read twice
  return p;
}

Problem norm2_problem(Values& values, DType dtype, const Arena& arena) {
  Problem p;
  p.name = arena.name;
  // Squares of f32 are exact in f64, so only their sum is rounded.
  p.operands = {
      in("x", dtype, values.normal({arena.size})),
      out("out", DType::f64, {}, {.c = 4, .k = static_cast<double>(arena.size) + 4, .precision = DType::f64})};
  p.call = [=, ranges = arena.ranges](Context& c, const KernelTable& t, Views v, GradMode) {
    t.optimizer.norm2(c, {.x = v[0], .ranges = ranges, .out = v[1]});
  };
  p.op = [=, ranges = arena.ranges](Tensors t, GradMode) -> std::vector<Tensor> {
    return {Tensor::from(std::vector<double>{norm2(t[0], ranges)}, {})};
  };
  p.flops = 2.0 * static_cast<double>(arena.size);
  return p;
}

template <class Make>
OpCase optimizer_case(const char* name, const Make& make) {
  OpCase c;
  c.name = name;
  c.slots = {std::string("optimizer.") + name};
  c.dtypes = {DType::f32, DType::f64};
  c.problems = [=](DType dtype) {
    Values values(name);
    std::vector<Problem> problems;
    for (const Arena& arena : arenas()) problems.push_back(make(values, dtype, arena));
    return problems;
  };
  c.benchmarks = [=](DType dtype, const BenchmarkSizes& s) {
    Values values = Values::shortened(name);
    return std::vector{make(values, dtype, Arena(fmt::format("{} parameters", s.parameters), {s.parameters}))};
  };
  return c;
}

}  // namespace

std::vector<OpCase> optimizer_cases() {
  const Tensor x = Tensor::zeros({10});
  const Tensor f64 = Tensor::zeros({10}, DType::f64);
  const Ranges beyond{{.offset = 4, .count = 7}};
  OpCase adam = optimizer_case("adamw", adamw_problem);
  adam.refusals = {{"a range beyond the arena", ErrorKind::shape, [=] { adamw(x, x, x, x, beyond, {}); }},
                   {"grad of another size", ErrorKind::shape, [=] { adamw(x, Tensor::zeros({9}), x, x, {}, {}); }},
                   {"v of another type", ErrorKind::dtype, [=] { adamw(x, x, x, f64, {}, {}); }},
                   {"m is absent", ErrorKind::shape, [=] { adamw(x, x, {}, x, {}, {}); }}};
  OpCase adaptive = optimizer_case(
      "lars", [](Values& values, DType dtype, const Arena& arena) { return lars_problem(values, dtype, arena, 1); });
  const auto usual = adaptive.problems;
  adaptive.problems = [=](DType dtype) {
    auto problems = usual(dtype);
    Values values("lars without norms");
    // Values and gradients are zero, so the ratio of their norms is not used.
    problems.push_back(lars_problem(values, dtype, arenas()[3], 0));
    return problems;
  };
  adaptive.refusals = {{"adapt of another size", ErrorKind::shape,
                        [=] { lars(x, x, x, Ranges{{.offset = 0, .count = 2}}, {}, {}, 0.9, 0.02); }}};
  OpCase norm = optimizer_case("norm2", norm2_problem);
  norm.refusals = {{"a range beyond the arena", ErrorKind::shape, [=] { (void)norm2(x, beyond); }},
                   {"rank 2", ErrorKind::shape, [] {
                      (void)norm2(Tensor::zeros({2, 5}), {});
                    }}};
  return {adam, adaptive, norm};
}

}  // namespace tessera::test
