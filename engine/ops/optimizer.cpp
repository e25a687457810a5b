#include "engine/ops/optimizer.h"

#include <fmt/format.h>

#include "engine/ops/check.h"
#include "engine/ops/kernels.h"

namespace tessera {
namespace {

Context& check_arenas(const char* op, std::initializer_list<check::Operand> arenas,
                      std::span<const ParameterSegment> segments) {
  Context& c = check::device(op, arenas);
  const Tensor& first = arenas.begin()->tensor;
  check::contiguous(op, arenas);
  for (const auto& arena : arenas) {
    check::shape(op, arena, {first.numel()}, "a flat arena");
    check::dtype(op, arena, {first.dtype()});
  }
  for (const auto& s : segments) {
    if (s.offset < 0 || s.count < 0 || s.offset + s.count > first.numel()) {
      throw ShapeError(
          fmt::format("{}: segment [{}, {}) outside an arena of {}", op, s.offset, s.offset + s.count, first.numel()));
    }
  }
  return c;
}

}  // namespace

void adamw(const Tensor& value, const Tensor& grad, const Tensor& m, const Tensor& v,
           std::span<const ParameterSegment> segments, const StepState& state) {
  Context& c = check_arenas("adamw", {{"value", value}, {"grad", grad}, {"m", m}, {"v", v}}, segments);
  c.kernels().optimizer.adamw(c, {value, grad, m, v, segments, &state});
}

void lars(const Tensor& value, const Tensor& grad, const Tensor& momentum, std::span<const ParameterSegment> segments,
          std::span<const uint8_t> adapt, const StepState& state, double mu, double trust) {
  Context& c = check_arenas("lars", {{"value", value}, {"grad", grad}, {"momentum", momentum}}, segments);
  if (adapt.size() != segments.size()) {
    throw ShapeError(fmt::format("lars: {} entries of adapt, expected {} (segments)", adapt.size(), segments.size()));
  }
  c.kernels().optimizer.lars(c, {value, grad, momentum, segments, adapt, &state, mu, trust});
}

double norm2(const Tensor& x, std::span<const ParameterSegment> segments) {
  Context& c = check_arenas("norm2", {{"x", x}}, segments);
  const Tensor out = Tensor::empty({}, DType::f64, x.device());
  c.kernels().optimizer.norm2(c, {x, segments, out});
  return out.item();
}

}  // namespace tessera
