#include "engine/ops/optimizer.h"

#include <fmt/format.h>

#include "engine/ops/check.h"
#include "engine/ops/kernels.h"

namespace tessera {
namespace {

Context& check_arenas(const char* op, std::initializer_list<check::Operand> arenas,
                      std::span<const ParameterRange> ranges) {
  Context& c = check::device(op, arenas);
  const Tensor& first = arenas.begin()->tensor;
  check::contiguous(op, arenas);
  for (const auto& arena : arenas) {
    check::shape(op, arena, {first.numel()}, "a flat arena");
    check::dtype(op, arena, {first.dtype()});
  }
  for (const auto& s : ranges) {
    if (s.offset < 0 || s.count < 0 || s.offset + s.count > first.numel()) {
      throw ShapeError(
          fmt::format("{}: range [{}, {}) outside an arena of {}", op, s.offset, s.offset + s.count, first.numel()));
    }
  }
  return c;
}

}  // namespace

void adamw(const Tensor& value, const Tensor& grad, const Tensor& m, const Tensor& v,
           std::span<const ParameterRange> ranges, const StepState& state) {
  Context& c = check_arenas("adamw", {{"value", value}, {"grad", grad}, {"m", m}, {"v", v}}, ranges);
  c.kernels().optimizer.adamw(c, {.value = value, .grad = grad, .m = m, .v = v, .ranges = ranges, .state = &state});
}

void lars(const Tensor& value, const Tensor& grad, const Tensor& momentum, std::span<const ParameterRange> ranges,
          std::span<const uint8_t> adapt, const StepState& state, double mu, double trust) {
  Context& c = check_arenas("lars", {{"value", value}, {"grad", grad}, {"momentum", momentum}}, ranges);
  if (adapt.size() != ranges.size()) {
    throw ShapeError(fmt::format("lars: {} entries of adapt, expected {} (ranges)", adapt.size(), ranges.size()));
  }
  c.kernels().optimizer.lars(c, {.value = value,
                                 .grad = grad,
                                 .momentum = momentum,
                                 .ranges = ranges,
                                 .adapt = adapt,
                                 .state = &state,
                                 .mu = mu,
                                 .trust = trust});
}

double norm2(const Tensor& x, std::span<const ParameterRange> ranges) {
  Context& c = check_arenas("norm2", {{"x", x}}, ranges);
  const Tensor out = Tensor::empty({}, DType::f64, x.device());
  c.kernels().optimizer.norm2(c, {.x = x, .ranges = ranges, .out = out});
  return out.item();
}

}  // namespace tessera
