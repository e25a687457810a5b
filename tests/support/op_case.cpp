#include "tests/support/op_case.h"

#include <cmath>

#include "tests/op_cases/cases.h"
#include "tests/support/reference.h"

namespace tessera::test {

Operand in(std::string name, DType dtype, Tensor values, Layout layout) {
  const Shape shape = values.shape();
  return {std::move(name), Role::in, dtype, shape, std::move(values), {}, std::move(layout)};
}

Operand out(std::string name, DType dtype, const Shape& shape, Tolerance tolerance, Layout layout) {
  return {std::move(name), Role::out, dtype, shape, {}, tolerance, std::move(layout)};
}

Operand sum_out(std::string name, DType dtype, const Shape& shape, Tolerance tolerance, Layout layout) {
  return {std::move(name), Role::sum, dtype, shape, {}, tolerance, std::move(layout)};
}

Operand inout(std::string name, DType dtype, Tensor values, Tolerance tolerance) {
  const Shape shape = values.shape();
  return {std::move(name), Role::inout, dtype, shape, std::move(values), tolerance};
}

Operand absent(std::string name) {
  Operand o;
  o.name = std::move(name);
  o.absent = true;
  return o;
}

std::span<const OpCase> op_cases() {
  static const std::vector<OpCase> cases = [] {
    std::vector<OpCase> all;
    for (auto* family :
         {copy_cases, pointwise_cases, reduce_cases, linear_cases, matmul_cases, norm_cases, batch_norm_cases,
          attention_cases, rows_cases, patches_cases, loss_cases, patch_sentence_cases, optimizer_cases}) {
      for (OpCase& c : family()) all.push_back(std::move(c));
    }
    return all;
  }();
  return cases;
}

std::vector<DType> floating_types() { return {DType::f32, DType::bf16, DType::f64}; }
std::vector<DType> narrow_types() { return {DType::f32, DType::bf16}; }

double bytes_of(const Problem& problem, GradMode mode) {
  double bytes = 0;
  for (const Operand& o : problem.operands) {
    if (o.absent) continue;
    const bool twice = o.role == Role::inout || (o.role == Role::sum && mode == GradMode::accumulate);
    bytes += static_cast<double>(o.shape.numel()) * static_cast<double>(size_of(o.dtype)) * (twice ? 2 : 1);
  }
  return bytes;
}

Tensor Values::normal(const Shape& shape, double scale, double mean) {
  Tensor t = Tensor::empty(shape, DType::f64);
  const uint64_t draw = draws_++;
  uint64_t i = 0;
  for (double& x : t.data<double>()) x = mean + scale * random_.normal(0, draw, i++);
  return t;
}

Tensor Values::uniform(const Shape& shape, double low, double high) {
  Tensor t = Tensor::empty(shape, DType::f64);
  const uint64_t draw = draws_++;
  uint64_t i = 0;
  for (double& x : t.data<double>()) x = low + (high - low) * static_cast<double>(random_.uniform(0, draw, i++));
  return t;
}

Tensor Values::integers(const Shape& shape, int64_t low, int64_t high) {
  Tensor t = Tensor::empty(shape, DType::i32);
  const uint64_t draw = draws_++;
  uint64_t i = 0;
  for (int32_t& x : t.data<int32_t>()) {
    x = static_cast<int32_t>(low +
                             static_cast<int64_t>(random_.below(static_cast<uint64_t>(high - low), 0, draw, i++)));
  }
  return t;
}

Tensor Values::unit_rows(const Shape& shape) {
  Tensor t = normal(shape);
  const auto x = t.data<double>();
  const auto width = static_cast<size_t>(shape[-1]);
  for (size_t row = 0; width > 0 && row < x.size(); row += width) {
    double squares = 0;
    for (size_t j = 0; j < width; ++j) squares += x[row + j] * x[row + j];
    for (size_t j = 0; j < width; ++j) x[row + j] /= std::sqrt(squares);
  }
  return t;
}

std::vector<Tensor> reference_results(const Problem& problem) {
  std::vector<Tensor> results(problem.operands.size());
  std::vector<View> views;
  std::vector<Guarded> inputs;
  for (size_t i = 0; i < problem.operands.size(); ++i) {
    const Operand& o = problem.operands[i];
    if (o.absent) {
      views.emplace_back();
    } else if (o.role == Role::in) {
      inputs.emplace_back(o.shape, o.dtype, Layout{});
      inputs.back().assign(o.values);
      views.push_back(inputs.back().tensor());
    } else {
      results[i] = Tensor::empty(o.shape, is_floating(o.dtype) ? DType::f64 : o.dtype);
      views.push_back(results[i]);
    }
  }
  Context context(Device::cpu());
  problem.call(context, reference_kernels(), views, GradMode::overwrite);
  return results;
}

}  // namespace tessera::test
