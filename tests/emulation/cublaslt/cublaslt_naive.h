#pragma once

// Products for the tests of cuBLASLt: operands in every layout, and the result by straight loops over the definition.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "engine/core/bfloat16.h"
#include "engine/cuda/product.h"

namespace tessera::test {

/// A buffer of elements of one type, with a margin before and after.
class Numbers {
 public:
  Numbers(DType dtype, int64_t count, int64_t shift = 0)
      : dtype_(dtype),
        shift_(shift),
        // Aligned to 256 bytes and then shifted by whole elements.
        bytes_(static_cast<size_t>(count + shift) * size_of(dtype) + 512) {}

  [[nodiscard]] void* data() {
    const auto address = reinterpret_cast<uintptr_t>(bytes_.data());
    return bytes_.data() + (256 - address % 256) + static_cast<size_t>(shift_) * size_of(dtype_);
  }
  [[nodiscard]] double at(int64_t i) {
    if (dtype_ == DType::f64) return static_cast<double*>(data())[i];
    if (dtype_ == DType::f32) return static_cast<float*>(data())[i];
    return static_cast<float>(static_cast<bfloat16*>(data())[i]);
  }
  void set(int64_t i, double x) {
    if (dtype_ == DType::f64) {
      static_cast<double*>(data())[i] = x;
    } else if (dtype_ == DType::f32) {
      static_cast<float*>(data())[i] = static_cast<float>(x);
    } else {
      static_cast<bfloat16*>(data())[i] = bfloat16(static_cast<float>(x));
    }
  }
  void fill(int64_t count, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> numbers(-1, 1);
    for (int64_t i = 0; i < count; ++i) set(i, numbers(random));
  }

 private:
  DType dtype_;
  int64_t shift_;
  std::vector<unsigned char> bytes_;
};

/// How the operands of a product lie in memory.
struct Form {
  DType dtype = DType::f32, out = DType::f32;
  int64_t m = 1, n = 1, k = 1, batches = 1;
  bool left_lines = false, right_lines = false;  // contiguous lines instead of steps
  bool rows_contiguous = false;                  // of y
  bool interleaved = false;                      // the results of a batch lie side by side
  bool broadcast = false;                        // one left operand for the whole batch
  bool bias = false, residual = false, in_place = false, accumulate = false, split = false;
  double alpha = 1;
  int64_t pad = 0;    // beyond the end of each line
  int64_t shift = 0;  // elements by which operands miss an aligned address
  int shifted = 31;   // which ones: left 1, right 2, bias 4, residual 8, y 16
};

/// A product with its memory.
class ProductProblem {
 public:
  explicit ProductProblem(const Form& form)
      : f(form),
        wide(form.dtype == DType::f64 ? DType::f64 : DType::f32),
        left(form.dtype, operand_count(form.m), shift_of(1)),
        right(form.dtype, operand_count(form.n), shift_of(2)),
        bias(wide, form.n, shift_of(4)),
        residual(form.out, form.m * residual_stride(), shift_of(8)),
        y(form.out, y_count(form), shift_of(16)) {
    left.fill(operand_count(f.m), 1);
    right.fill(operand_count(f.n), 2);
    bias.fill(f.n, 3);
    residual.fill(f.m * residual_stride(), 4);
    reset();
    p.dtype = f.dtype;
    p.m = f.m;
    p.n = f.n;
    p.k = f.k;
    p.batches = f.batches;
    p.left = operand(left, f.m, f.left_lines, f.broadcast);
    p.right = operand(right, f.n, f.right_lines, false);
    p.alpha = f.alpha;
    p.accumulate = f.accumulate;
    p.split = f.split;
    if (f.bias) p.bias = bias.data();
    p.y.data = y.data();
    p.y.dtype = f.out;
    place_y();
    if (f.residual) {
      p.residual = p.y;
      if (!f.in_place) {
        p.residual.data = residual.data();
        p.residual.row_stride = residual_stride();
      }
    }
  }

  /// y before the product: numbers where they are read, NaN elsewhere.
  void reset() {
    const bool read = f.accumulate || f.in_place;
    y.fill(y_count(f), 5);
    if (!read) {
      for (int64_t i = 0; i < y_count(f); ++i) y.set(i, std::numeric_limits<double>::quiet_NaN());
    }
  }
  [[nodiscard]] std::vector<double> values() {
    std::vector<double> result;
    for (int64_t i = 0; i < y_count(f); ++i) result.push_back(y.at(i));
    return result;
  }
  [[nodiscard]] int64_t place_of(int64_t b, int64_t i, int64_t j) const {
    return b * p.y_batch_stride + i * p.y.row_stride + j * p.y_column_stride;
  }

  /// Compares y with the definition, and what lies beside y with what was there.
  void expect_result(const std::vector<double>& before) {
    std::vector<bool> written(before.size());
    for (int64_t b = 0; b < f.batches; ++b) {
      for (int64_t i = 0; i < f.m; ++i) {
        for (int64_t j = 0; j < f.n; ++j) {
          const int64_t place = place_of(b, i, j);
          written[static_cast<size_t>(place)] = true;
          double sum = 0;
          double size = 0;
          for (int64_t s = 0; s < f.k; ++s) {
            const double term = left.at(element(p.left, b, i, s)) * right.at(element(p.right, b, j, s));
            sum += term;
            size += std::abs(term);
          }
          double expected = f.alpha * sum;
          if (f.bias) expected += bias.at(j);
          if (f.residual) {
            expected += f.in_place ? before[static_cast<size_t>(place)] : residual.at(i * residual_stride() + j);
          }
          if (f.accumulate) expected += before[static_cast<size_t>(place)];
          ASSERT_NEAR(y.at(place), expected, tolerance(expected, std::abs(f.alpha) * size + 1))
              << "row " << i << ", column " << j << " of product " << b;
        }
      }
    }
    for (size_t i = 0; i < written.size(); ++i) {
      if (written[i]) continue;
      const double now = y.at(static_cast<int64_t>(i));
      ASSERT_TRUE(now == before[i] || (std::isnan(now) && std::isnan(before[i]))) << "element " << i << " beside y";
    }
  }

  Form f;
  DType wide;
  Numbers left, right, bias, residual, y;
  cuda::Product p;

 private:
  [[nodiscard]] int64_t shift_of(int operand) const { return (f.shifted & operand) != 0 ? f.shift : 0; }
  [[nodiscard]] int64_t residual_stride() const { return f.n + f.pad + 16; }
  [[nodiscard]] int64_t operand_count(int64_t lines) const { return f.batches * ((lines + f.pad) * (f.k + f.pad)); }
  static int64_t y_count(const Form& f) { return f.batches * (f.m + f.pad) * (f.n + f.pad); }
  [[nodiscard]] cuda::ProductOperand operand(Numbers& x, int64_t lines, bool lines_contiguous, bool broadcast) const {
    return {.data = x.data(),
            .line_stride = lines_contiguous ? 1 : f.k + f.pad,
            .step_stride = lines_contiguous ? lines + f.pad : 1,
            .batch_stride = broadcast ? 0 : (lines + f.pad) * (f.k + f.pad)};
  }
  static int64_t element(const cuda::ProductOperand& x, int64_t b, int64_t line, int64_t step) {
    return b * x.batch_stride + line * x.line_stride + step * x.step_stride;
  }
  void place_y() {
    const int64_t inner = f.rows_contiguous ? f.m : f.n;
    const int64_t outer = f.interleaved ? f.batches * (inner + f.pad) : inner + f.pad;
    p.y.row_stride = f.rows_contiguous ? 1 : outer;
    p.y_column_stride = f.rows_contiguous ? outer : 1;
    p.y_batch_stride = f.interleaved ? inner + f.pad : (f.m + f.pad) * (f.n + f.pad);
  }
  [[nodiscard]] double tolerance(double expected, double size) const {
    if (f.out == DType::f64) return 1e-14 * size;
    // One rounding of the result, and some of the parts of a sum.
    if (f.out == DType::f32) return 3e-7 * size;
    return std::abs(expected) / 256 + 3e-7 * size;
  }
};

}  // namespace tessera::test
