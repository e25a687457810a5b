#include "tests/support/op_case.h"

#include <algorithm>
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
  for (size_t i = 0; i < problem.operands.size(); ++i) {
    const Operand& o = problem.operands[i];
    if (o.absent) continue;
    const bool twice = o.role == Role::inout || (o.role == Role::sum && mode == GradMode::accumulate);
    const auto share = problem.moved.find(i);
    bytes += static_cast<double>(o.shape.numel()) * static_cast<double>(size_of(o.dtype)) * (twice ? 2 : 1) *
             (share == problem.moved.end() ? 1 : share->second);
  }
  return bytes;
}

BenchmarkSizes BenchmarkSizes::of_a_gpu(int64_t batch) {
  BenchmarkSizes s;
  s.batch = s.contrast = batch;
  s.caption = 16;
  s.parameters = 157'730'000;
  return s;
}

BenchmarkSizes BenchmarkSizes::tiny() {
  return {.batch = 2,
          .contrast = 6,
          .image = 24,
          .patch = 8,
          .tokens = 10,
          .visible = 3,
          .width = 64,
          .heads = 1,
          .hidden = 96,
          .caption = 5,
          .text_width = 64,
          .text_heads = 1,
          .vocabulary = 40,
          .projector = 32,
          .projector_rows = 8,
          .classes = 10,
          .parameters = 3000};
}

Values Values::shortened(std::string_view purpose) {
  Values values(purpose);
  values.shortened_ = true;
  return values;
}

int64_t Values::short_count(const Shape& shape) {
  const int64_t width = shape.rank() > 0 ? shape[-1] : 1;
  if (shape.numel() <= kShort) return shape.numel();
  return width <= kShort ? kShort / width * width : kShort;
}

std::span<double> Values::drawn(const Tensor& tensor) const {
  const auto all = tensor.data<double>();
  return shortened_ ? all.first(static_cast<size_t>(short_count(tensor.shape()))) : all;
}

std::vector<Tensor> Values::saved(const Problem& forward, const std::map<size_t, Normal>& sizes) {
  if (!shortened_) return reference_results(forward);
  std::vector<Tensor> results(forward.operands.size());
  for (const auto& [i, size] : sizes) results[i] = normal(forward.operands[i].shape, size.scale, size.mean);
  return results;
}

Tensor Values::normal(const Shape& shape, double scale, double mean) {
  Tensor t = Tensor::empty(shape, DType::f64);
  const uint64_t draw = draws_++;
  uint64_t i = 0;
  for (double& x : drawn(t)) x = mean + scale * random_.normal(0, draw, i++);
  return t;
}

Tensor Values::uniform(const Shape& shape, double low, double high) {
  Tensor t = Tensor::empty(shape, DType::f64);
  const uint64_t draw = draws_++;
  uint64_t i = 0;
  for (double& x : drawn(t)) x = low + (high - low) * static_cast<double>(random_.uniform(0, draw, i++));
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
  const auto x = drawn(t);
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
