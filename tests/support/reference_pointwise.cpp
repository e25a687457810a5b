#include <cmath>
#include <numbers>

#include "tests/support/reference.h"

namespace tessera::test::reference {
namespace {

constexpr double kQuick = 1.702;

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }
double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

void copy(Context&, const CopyArgs& a) { write(Array(a.x), a.y, a.mode); }

void fill(Context&, const FillArgs& a) {
  Array y(shape_of(a.y));
  for (double& v : y.values()) v = a.value;
  write(y, a.y);
}

double value(Unary op, double x) {
  switch (op) {
    case Unary::exp:
      return std::exp(x);
    case Unary::gelu_erf:
      return gelu_erf(x);
    case Unary::quick_gelu:
      return quick_gelu(x);
    case Unary::relu:
      return x < 0 ? 0 : x;
  }
  return 0;
}

double slope(Unary op, double x) {
  switch (op) {
    case Unary::exp:
      return std::exp(x);
    case Unary::gelu_erf:
      return gelu_erf_slope(x);
    case Unary::quick_gelu:
      return quick_gelu_slope(x);
    case Unary::relu:
      return x > 0 ? 1 : 0;
  }
  return 0;
}

void unary(Context&, const UnaryArgs& a) {
  Array x(a.x);
  for (double& v : x.values()) v = value(a.op, v);
  write(x, a.y);
}

void unary_grad(Context&, const UnaryGradArgs& a) {
  const Array x(a.x);
  Array dy(a.dy);
  for (size_t i = 0; i < dy.values().size(); ++i) dy.values()[i] *= slope(a.op, x.values()[i]);
  write(dy, a.dx, a.mode);
}

void binary(Context&, const BinaryArgs& args) {
  Array a(args.a);
  const Array b(args.b);
  const bool scalar = b.values().size() == 1;
  for (size_t i = 0; i < a.values().size(); ++i) {
    double& x = a.values()[i];
    const double y = b.values()[scalar ? 0 : i];
    x = args.alpha * (args.op == Binary::add ? x + y : args.op == Binary::sub ? x - y : x * y);
  }
  write(a, args.z, args.mode);
}

void axpby(Context&, const AxpbyArgs& a) {
  const Array x(a.x);
  Array y(a.y);
  for (size_t i = 0; i < y.values().size(); ++i) y.values()[i] = a.alpha * x.values()[i] + a.beta * y.values()[i];
  write(y, a.y);
}

void clamp(Context&, const ClampArgs& a) {
  Array y(a.y);
  for (double& v : y.values()) v = v < a.low ? a.low : v > a.high ? a.high : v;
  write(y, a.y);
}

void add_diagonal(Context&, const AddDiagonalArgs& a) {
  Array y(a.y);
  for (int64_t r = 0; r < y.size(0); ++r) {
    for (int64_t c = 0; c < y.size(1); ++c) y(r, c) += r == c ? a.value : 0;
  }
  write(y, a.y);
}

}  // namespace

double gelu_erf(double x) { return x * normal_cdf(x); }
double gelu_erf_slope(double x) { return normal_cdf(x) + x * std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi); }
double quick_gelu(double x) { return x * sigmoid(kQuick * x); }
double quick_gelu_slope(double x) {
  const double s = sigmoid(kQuick * x);
  return s + kQuick * x * s * (1 - s);
}

const CopyKernels kCopy{.copy = copy, .fill = fill, .add_diagonal = add_diagonal};
const PointwiseKernels kPointwise{
    .unary = unary, .unary_grad = unary_grad, .binary = binary, .axpby = axpby, .clamp = clamp};

}  // namespace tessera::test::reference
