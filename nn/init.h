#pragma once

#include <cstdint>
#include <string_view>

#include "engine/tensor/tensor.h"

namespace tessera::nn {

/// An initial value: a constant, N(0, value) or U(−value, value). A value, so that a parameter can be described before
/// it has memory.
struct Init {
  enum class Kind : uint8_t { constant, normal, uniform };
  Kind kind = Kind::constant;
  double value = 0.0;
};

[[nodiscard]] constexpr Init constant(double value) { return {Init::Kind::constant, value}; }
[[nodiscard]] constexpr Init zeros() { return constant(0.0); }
[[nodiscard]] constexpr Init ones() { return constant(1.0); }
[[nodiscard]] constexpr Init normal(double deviation) { return {Init::Kind::normal, deviation}; }
[[nodiscard]] constexpr Init uniform(double bound) { return {Init::Kind::uniform, bound}; }
/// Glorot and Bengio: U(±√(6 / (fan_in + fan_out))).
[[nodiscard]] Init xavier_uniform(int64_t fan_in, int64_t fan_out);
/// PyTorch's default for linear and convolution layers, weights and biases: U(±1/√fan_in).
[[nodiscard]] Init fan_in_uniform(int64_t fan_in);

/// Fills a contiguous f32 or f64 tensor. The numbers depend on the seed, the name and the element alone; an f32 tensor
/// holds the f64 tensor's numbers, rounded.
void initialise(const Tensor& tensor, Init init, uint64_t seed, std::string_view name);

}  // namespace tessera::nn
