#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/tensor/tensor.h"

namespace tessera::nn {

/// How a tensor is initialised: a constant, N(0, value²) or U(−value, value). Parameters are described with it before
/// they have memory.
struct Init {
  enum class Kind : uint8_t { constant, normal, uniform };
  Kind kind = Kind::constant;
  double value = 0.0;
};

[[nodiscard]] constexpr Init constant(double value) { return {Init::Kind::constant, value}; }
[[nodiscard]] constexpr Init zeros() { return constant(0.0); }
[[nodiscard]] constexpr Init ones() { return constant(1.0); }
[[nodiscard]] constexpr Init normal(double std) { return {Init::Kind::normal, std}; }
[[nodiscard]] constexpr Init uniform(double bound) { return {Init::Kind::uniform, bound}; }
/// U(−a, a) with a = √(6 / (fan_in + fan_out)), by Glorot and Bengio.
[[nodiscard]] Init xavier_uniform(int64_t fan_in, int64_t fan_out);
/// U(−a, a) with a = 1/√fan_in: PyTorch's default for weights and biases of linear and convolution layers.
[[nodiscard]] Init fan_in_uniform(int64_t fan_in);

/// The seed of initial values; without one nothing is drawn, because every value is about to be loaded.
using Seed = std::optional<uint64_t>;

/// Fills a contiguous f32 or f64 tensor on any device. The numbers depend on the seed, the name and the element alone.
/// An f32 tensor gets the numbers of the f64 tensor, rounded.
void initialise(const Tensor& tensor, Init init, uint64_t seed, std::string_view name);

}  // namespace tessera::nn
