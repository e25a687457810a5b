#pragma once

#include "engine/cuda/lt.h"

namespace tessera::cuda {

/// Who computes products: own kernels or cuBLASLt. `automatic` gives cuBLASLt the large products that it takes.
enum class Provider : uint8_t { automatic, own, lt };

/// Reads TESSERA_PRODUCTS: auto (also when it is not set), own or lt. Throws ConfigError on another word, and on cudnn
/// in a build that has no products by cuDNN.
[[nodiscard]] Provider provider_from_environment();

/// The providers of one device. What the chosen one does not take, own kernels compute. Only one thread at a time may
/// use it.
class Products {
 public:
  /// A product of at least this many multiply-adds is worth the library's call. Smaller ones take a few microseconds
  /// whoever computes them, and come in so many sizes that planning them would cost more.
  static constexpr double kLarge = 1 << 24;

  explicit Products(Provider provider = provider_from_environment()) : provider_(provider) {}
  /// For tests and benchmarks.
  void set_provider(Provider provider) { provider_ = provider; }
  /// Whether cuBLASLt is asked for this product first.
  [[nodiscard]] bool prefers_lt(const Product& product) const;
  void compute(Context& context, const Product& product);

 private:
  Provider provider_;
  Lt lt_;
};

/// The providers of a context's device, which owns them.
[[nodiscard]] Products& products_of(Context& context);

}  // namespace tessera::cuda
