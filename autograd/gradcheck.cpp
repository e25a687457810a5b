#include "autograd/gradcheck.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/core/philox.h"
#include "engine/ops/copy.h"
#include "engine/ops/reduce.h"

namespace tessera::autograd {
namespace {

Tensor random_direction(const Shape& shape, uint64_t seed) {
  Tensor t = Tensor::empty(shape, DType::f64);
  const Philox random(seed, "gradcheck");
  uint64_t i = 0;
  for (double& x : t.data<double>()) x = random.normal(0, 0, i++);
  return t;
}

class Checker {
 public:
  Checker(const std::function<Var(const std::vector<Var>&)>& function, const std::vector<Tensor>& inputs,
          const GradcheckOptions& options)
      : function_(function), options_(options) {
    for (const Tensor& t : inputs) inputs_.push_back(clone(t));
  }

  GradcheckResult run(std::span<Parameter* const> parameters) {
    for (Parameter* p : parameters) p->has_grad = false;
    Tape tape;
    std::vector<Var> vars;
    Var output;
    {
      const TapeScope scope(tape);
      for (const Tensor& t : inputs_) vars.push_back(tape.input(t));
      output = function_(vars);
    }
    if (output.dtype() != DType::f64) throw DTypeError("gradcheck: the function must compute in f64");
    direction_ = random_direction(output.shape(), options_.seed);
    tape.backward(output, direction_);
    for (size_t i = 0; i < inputs_.size(); ++i) {
      compare(fmt::format("input {}", i), inputs_[i], tape.take(vars[i].slot), nullptr);
    }
    for (Parameter* p : parameters) {
      compare(p->name, p->value, p->has_grad ? clone(p->grad) : Tensor(), p);
    }
    return result_;
  }

 private:
  double value() {
    const TapeScope none(nullptr);
    const std::vector<Var> constants(inputs_.begin(), inputs_.end());
    return dot(function_(constants).value, direction_).item();
  }

  void compare(const std::string& name, const Tensor& x, const Tensor& analytic, Parameter* parameter) {
    const auto elements = x.data<double>();
    const auto count = static_cast<int64_t>(elements.size());
    double scale = 1e-3;
    if (analytic) {
      for (const double g : analytic.data<double>()) scale = std::max(scale, std::abs(g));
    }
    const int64_t wanted = options_.max_elements > 0 ? std::min(options_.max_elements, count) : count;
    for (int64_t k = 0; k < wanted; ++k) {
      const auto i = static_cast<size_t>(k * count / wanted);
      const double numeric = difference(elements[i], parameter);
      const double found = analytic ? analytic.data<double>()[i] : 0.0;
      const double error = std::abs(found - numeric) / scale;
      if (error > result_.worst || std::isnan(error)) {
        result_.worst = error;
        result_.message = fmt::format("{}[{}]: analytic {:.9g}, numeric {:.9g}", name, i, found, numeric);
      }
      if (!(error <= options_.tolerance)) result_.passed = false;
    }
  }

  double difference(double& x, Parameter* parameter) {
    const double kept = x;
    const double step = options_.step * std::max(1.0, std::abs(kept));
    const auto at = [&](double where) {
      x = where;
      if (parameter != nullptr) parameter->mark_written();
      return value();
    };
    const double slope = (at(kept + step) - at(kept - step)) / (2 * step);
    x = kept;
    if (parameter != nullptr) parameter->mark_written();
    return slope;
  }

  const std::function<Var(const std::vector<Var>&)>& function_;
  const GradcheckOptions& options_;
  std::vector<Tensor> inputs_;
  Tensor direction_;
  GradcheckResult result_;
};

}  // namespace

GradcheckResult gradcheck(const std::function<Var(const std::vector<Var>&)>& function,
                          const std::vector<Tensor>& inputs, std::span<Parameter* const> parameters,
                          const GradcheckOptions& options) {
  for (const Tensor& t : inputs) {
    if (t.dtype() != DType::f64) throw DTypeError(fmt::format("gradcheck: an input is {}, expected f64", describe(t)));
  }
  return Checker(function, inputs, options).run(parameters);
}

}  // namespace tessera::autograd
