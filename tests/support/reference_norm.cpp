#include <algorithm>
#include <cmath>

#include "tests/support/reference.h"

namespace tessera::test::reference {
namespace {

constexpr double kLeastNorm = 1e-12;

void layer_norm(Context&, const LayerNormArgs& a) {
  const Array x(a.x);
  const Array gamma(a.gamma);
  const Array beta(a.beta);
  const int64_t n = x.size(1);
  Array y(x.shape());
  Array mean({x.size(0)});
  Array rstd({x.size(0)});
  for (int64_t i = 0; i < x.size(0); ++i) {
    double sum = 0;
    double squares = 0;
    for (int64_t j = 0; j < n; ++j) sum += x(i, j);
    mean(i) = n > 0 ? sum / static_cast<double>(n) : 0;
    for (int64_t j = 0; j < n; ++j) squares += (x(i, j) - mean(i)) * (x(i, j) - mean(i));
    rstd(i) = 1 / std::sqrt((n > 0 ? squares / static_cast<double>(n) : 0) + a.eps);
    for (int64_t j = 0; j < n; ++j) y(i, j) = (x(i, j) - mean(i)) * rstd(i) * gamma(j) + beta(j);
  }
  write(y, a.y);
  write(mean, a.mean);
  write(rstd, a.rstd);
}

void layer_norm_grad(Context&, const LayerNormGradArgs& a) {
  const Array x(a.x);
  const Array gamma(a.gamma);
  const Array mean(a.mean);
  const Array rstd(a.rstd);
  const Array dy(a.dy);
  const int64_t n = x.size(1);
  Array dx(x.shape());
  Array dgamma({n});
  Array dbeta({n});
  for (int64_t i = 0; i < x.size(0); ++i) {
    double slope = 0;
    double projection = 0;
    for (int64_t j = 0; j < n; ++j) {
      const double normal = (x(i, j) - mean(i)) * rstd(i);
      dgamma(j) += dy(i, j) * normal;
      dbeta(j) += dy(i, j);
      slope += dy(i, j) * gamma(j) / static_cast<double>(n);
      projection += dy(i, j) * gamma(j) * normal / static_cast<double>(n);
    }
    for (int64_t j = 0; j < n; ++j) {
      const double normal = (x(i, j) - mean(i)) * rstd(i);
      dx(i, j) = rstd(i) * (dy(i, j) * gamma(j) - slope - normal * projection);
    }
  }
  write(dx, a.dx, a.dx_mode);
  write(dgamma, a.dgamma, a.gamma_mode);
  write(dbeta, a.dbeta, a.beta_mode);
}

void l2_normalize(Context&, const L2NormalizeArgs& a) {
  Array x(a.x);
  Array norm({x.size(0)});
  for (int64_t i = 0; i < x.size(0); ++i) {
    double squares = 0;
    for (int64_t j = 0; j < x.size(1); ++j) squares += x(i, j) * x(i, j);
    norm(i) = std::sqrt(squares);
    for (int64_t j = 0; j < x.size(1); ++j) x(i, j) /= std::max(norm(i), kLeastNorm);
  }
  write(x, a.y);
  write(norm, a.norm);
}

void l2_normalize_grad(Context&, const L2NormalizeGradArgs& a) {
  const Array y(a.y);
  const Array norm(a.norm);
  const Array dy(a.dy);
  Array dx(y.shape());
  for (int64_t i = 0; i < y.size(0); ++i) {
    const bool tiny = norm(i) <= kLeastNorm;
    double projection = 0;
    for (int64_t j = 0; j < y.size(1) && !tiny; ++j) projection += y(i, j) * dy(i, j);
    for (int64_t j = 0; j < y.size(1); ++j) {
      dx(i, j) = (dy(i, j) - y(i, j) * projection) / (tiny ? kLeastNorm : norm(i));
    }
  }
  write(dx, a.dx, a.mode);
}

void column_moments(Context&, const ColumnMomentsArgs& a) {
  const Array x(a.x);
  const double rows = std::max<double>(1, static_cast<double>(x.size(0)));
  Array mean({x.size(1)});
  Array variance({x.size(1)});
  for (int64_t j = 0; j < x.size(1); ++j) {
    for (int64_t i = 0; i < x.size(0); ++i) mean(j) += x(i, j) / rows;
    for (int64_t i = 0; i < x.size(0); ++i) variance(j) += (x(i, j) - mean(j)) * (x(i, j) - mean(j)) / rows;
  }
  write(mean, a.mean);
  write(variance, a.variance);
}

void batch_norm(Context&, const BatchNormArgs& a) {
  const Array x(a.x);
  const Array mean(a.mean);
  const Array variance(a.variance);
  const Array gamma(a.gamma);
  const Array beta(a.beta);
  Array y(x.shape());
  Array rstd({x.size(1)});
  for (int64_t j = 0; j < x.size(1); ++j) {
    rstd(j) = 1 / std::sqrt(variance(j) + a.eps);
    for (int64_t i = 0; i < x.size(0); ++i) {
      y(i, j) = (x(i, j) - mean(j)) * rstd(j) * (gamma ? gamma(j) : 1) + (beta ? beta(j) : 0);
    }
  }
  write(y, a.y);
  write(rstd, a.rstd);
}

void batch_norm_grad(Context&, const BatchNormGradArgs& a) {
  const Array x(a.x);
  const Array gamma(a.gamma);
  const Array mean(a.mean);
  const Array rstd(a.rstd);
  const Array dy(a.dy);
  const auto rows = static_cast<double>(x.size(0));
  Array dx(x.shape());
  Array dgamma({x.size(1)});
  Array dbeta({x.size(1)});
  for (int64_t j = 0; j < x.size(1); ++j) {
    const auto normal = [&](int64_t i) { return (x(i, j) - mean(j)) * rstd(j); };
    for (int64_t i = 0; i < x.size(0); ++i) {
      dbeta(j) += dy(i, j);
      dgamma(j) += dy(i, j) * normal(i);
    }
    for (int64_t i = 0; i < x.size(0); ++i) {
      const double centred = a.own_moments ? dy(i, j) - dbeta(j) / rows - normal(i) * dgamma(j) / rows : dy(i, j);
      dx(i, j) = (gamma ? gamma(j) : 1) * rstd(j) * centred;
    }
  }
  write(dx, a.dx, a.dx_mode);
  write(dgamma, a.dgamma, a.gamma_mode);
  write(dbeta, a.dbeta, a.beta_mode);
}

}  // namespace

const NormKernels kNorm{.layer_norm = layer_norm,
                        .layer_norm_grad = layer_norm_grad,
                        .l2_normalize = l2_normalize,
                        .l2_normalize_grad = l2_normalize_grad,
                        .column_moments = column_moments,
                        .batch_norm = batch_norm,
                        .batch_norm_grad = batch_norm_grad};

}  // namespace tessera::test::reference
