#include "tests/op_cases/linear_gradients.h"

#include <fmt/format.h>

#include "autograd/ops/linear.h"

namespace tessera::test {

SegmentTable samples(int64_t rows) { return SegmentTable(std::vector<int64_t>{rows / 3, 0, rows - rows / 3}); }
Tensor sample_scales() { return Tensor::from(std::vector<double>{1.25, 3, 0.625}, {3}); }

std::vector<Gradient> linear_gradients() {
  Values values("linear gradients");
  const SegmentTable segments = samples(6);
  const Tensor scales = Tensor::from(std::vector<float>{1.25f, 3, 0.625f}, {3});
  const Tensor scales64 = sample_scales();
  const auto scale_of = [=](DType t) { return t == DType::f64 ? scales64 : scales; };
  std::vector<Gradient> g;
  g.push_back({.name = "plain",
               .inputs = {{values.normal({5, 6})}, {values.normal({4, 6}), true}},
               .forward = [](const auto& v, DType t) { return autograd::linear(v[0], v[1], {.out_dtype = t}); },
               .k = 6});
  g.push_back({.name = "bias, residual, row scale",
               .inputs = {{values.normal({6, 5})},
                          {values.normal({4, 5}), true},
                          {values.normal({4}), true},
                          {values.normal({6, 4}), true}},
               .forward =
                   [=](const auto& v, DType t) {
                     return autograd::linear(v[0], v[1],
                                             {.bias = v[2],
                                              .residual = v[3],
                                              .row_scale = scale_of(t),
                                              .segments = segments,
                                              .out_dtype = wide(t)});
                   },
               .k = 6});
  g.push_back({.name = "rows 2 to 5 of a fused weight",
               .inputs = {{values.normal({4, 5})}, {values.normal({7, 5}), true}, {values.normal({7}), true}},
               .forward =
                   [](const auto& v, DType t) {
                     return autograd::linear(v[0], v[1], {.bias = v[2], .out_dtype = t, .rows = {2, 3}});
                   },
               .k = 5});
  for (const Act act : {Act::gelu_erf, Act::quick_gelu, Act::none}) {
    g.push_back({.name = fmt::format("mlp with activation {}", static_cast<int>(act)),
                 .inputs = {{values.normal({6, 4})},
                            {values.normal({7, 4}), true},
                            {values.normal({7}), true},
                            {values.normal({3, 7}), true},
                            {values.normal({3}), true},
                            {values.normal({6, 3}), true}},
                 .forward =
                     [=](const auto& v, DType t) {
                       return autograd::mlp(v[0], {.w1 = v[1],
                                                   .b1 = v[2],
                                                   .w2 = v[3],
                                                   .b2 = v[4],
                                                   .act = act,
                                                   .residual = v[5],
                                                   .row_scale = scale_of(t),
                                                   .segments = segments,
                                                   .out_dtype = wide(t)});
                     },
                 .k = 7});
  }
  return g;
}

}  // namespace tessera::test
