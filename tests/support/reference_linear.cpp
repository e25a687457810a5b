#include "tests/support/reference.h"

namespace tessera::test::reference {
namespace {

/// The weight of a product. Under bf16 the f32 master is rounded.
Array weight(const View& w, DType compute) {
  Array values(w);
  if (compute == DType::bf16) {
    for (double& v : values.values()) v = rounded(v, DType::bf16);
  }
  return values;
}

double activate(Act act, double x) {
  switch (act) {
    case Act::none:
      return x;
    case Act::gelu_erf:
      return gelu_erf(x);
    case Act::quick_gelu:
      return quick_gelu(x);
  }
  return 0;
}

double slope(Act act, double x) {
  switch (act) {
    case Act::none:
      return 1;
    case Act::gelu_erf:
      return gelu_erf_slope(x);
    case Act::quick_gelu:
      return quick_gelu_slope(x);
  }
  return 0;
}

/// Scale of each row, from one value per segment.
std::vector<double> scales(const View& row_scale, const Segments& segments, int64_t rows) {
  std::vector<double> result(static_cast<size_t>(rows), 1.0);
  if (!row_scale) return result;
  const Array values(row_scale);
  for (int64_t b = 0; b < segments.count; ++b) {
    for (int64_t i = segments.begin(b); i < segments.end(b); ++i) result[static_cast<size_t>(i)] = values(b);
  }
  return result;
}

Array column_sums(const Array& x) {
  Array sums({x.size(1)});
  for (int64_t i = 0; i < x.size(0); ++i) {
    for (int64_t j = 0; j < x.size(1); ++j) sums(j) += x(i, j);
  }
  return sums;
}

void forward(Context&, const LinearArgs& a) {
  const Array x(a.x);
  const Array w = weight(a.w, a.x.dtype);
  const Array bias(a.bias);
  const Array residual(a.residual);
  const auto scale = scales(a.row_scale, a.segments, x.size(0));
  Array pre({x.size(0), w.size(0)});
  Array y(pre.shape());
  for (int64_t i = 0; i < x.size(0); ++i) {
    for (int64_t n = 0; n < w.size(0); ++n) {
      double sum = bias ? bias(n) : 0;
      for (int64_t k = 0; k < x.size(1); ++k) sum += x(i, k) * w(n, k);
      pre(i, n) = sum;
      y(i, n) = (residual ? residual(i, n) : 0) + scale[static_cast<size_t>(i)] * activate(a.act, sum);
    }
  }
  write(pre, a.pre);
  write(y, a.y);
}

void prepare_dy(Context&, const PrepareArgs& a) {
  Array dy(a.dy);
  const auto scale = scales(a.row_scale, a.segments, dy.size(0));
  for (int64_t i = 0; i < dy.size(0); ++i) {
    for (int64_t j = 0; j < dy.size(1); ++j) dy(i, j) *= scale[static_cast<size_t>(i)];
  }
  write(dy, a.out);
  write(column_sums(dy), a.col_sum, a.sum_mode);
}

void grad_input(Context&, const LinearDxArgs& a) {
  const Array dy(a.dy);
  const Array w = weight(a.w, a.dy.dtype);
  const Array pre(a.pre);
  Array dx({dy.size(0), w.size(1)});
  for (int64_t i = 0; i < dy.size(0); ++i) {
    for (int64_t n = 0; n < dy.size(1); ++n) {
      for (int64_t k = 0; k < w.size(1); ++k) dx(i, k) += dy(i, n) * w(n, k);
    }
    for (int64_t k = 0; k < w.size(1) && a.act != Act::none; ++k) dx(i, k) *= slope(a.act, pre(i, k));
  }
  write(dx, a.dx, a.mode);
  write(column_sums(dx), a.col_sum, a.sum_mode);
  if (!a.value) return;
  Array value(pre.shape());
  for (int64_t i = 0; i < value.size(0); ++i) {
    for (int64_t k = 0; k < value.size(1); ++k) value(i, k) = activate(a.act, pre(i, k));
  }
  write(value, a.value);
}

void grad_weight(Context&, const LinearDwArgs& a) {
  const Array dy(a.dy);
  const Array x(a.x);
  Array dw({dy.size(1), x.size(1)});
  for (int64_t i = 0; i < x.size(0); ++i) {
    for (int64_t n = 0; n < dy.size(1); ++n) {
      for (int64_t k = 0; k < x.size(1); ++k) dw(n, k) += dy(i, n) * x(i, k);
    }
  }
  write(dw, a.dw, a.mode);
}

/// The reference keeps no packs.
void pack(Context&, const PackArgs&) {}
size_t pack_bytes(int64_t, int64_t, DType, Side) { return 0; }

void matmul(Context&, const MatmulArgs& args) {
  const bool batched = args.a.rank == 3;
  const auto widen = [&](const View& v) {
    View wide = v;
    if (batched) return wide;
    wide.rank = 3;
    wide.shape = {1, v.size(0), v.size(1)};
    wide.strides = {0, v.stride(0), v.stride(1)};
    return wide;
  };
  const Array a(widen(args.a));
  const Array b(widen(args.b));
  Array c({a.size(0), a.size(1), b.size(2)});
  for (int64_t g = 0; g < a.size(0); ++g) {
    for (int64_t i = 0; i < a.size(1); ++i) {
      for (int64_t k = 0; k < a.size(2); ++k) {
        for (int64_t j = 0; j < b.size(2); ++j) c(g, i, j) += a(g, i, k) * b(g, k, j);
      }
    }
  }
  for (double& v : c.values()) v *= args.alpha;
  write(c, args.c, args.mode);
}

}  // namespace

const LinearKernels kLinear{.forward = forward,
                            .prepare_dy = prepare_dy,
                            .grad_input = grad_input,
                            .grad_weight = grad_weight,
                            .pack = pack,
                            .pack_bytes = pack_bytes};
const MatmulKernels kMatmul{.matmul = matmul};

}  // namespace tessera::test::reference
