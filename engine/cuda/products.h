#pragma once

#include "engine/cuda/dnn.h"
#include "engine/cuda/lt.h"

namespace tessera::cuda {

/// Who computes products. `automatic` gives cuBLASLt the large products that it takes and own kernels the others. `lt`
/// gives it all that it takes. `cudnn` gives cuDNN all that it takes and is else automatic; only a user's word chooses
/// it, as long as no device check stands behind it.
enum class Provider : uint8_t { automatic, own, lt, cudnn };

/// Reads TESSERA_PRODUCTS: auto (also when it is not set), own, lt or cudnn. Throws ConfigError on another word, and on
/// cudnn where the build or the machine has none.
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
  /// Whether cuDNN is asked for this product first, and whether cuBLASLt is before own kernels.
  [[nodiscard]] bool prefers_dnn(const Product& product) const;
  [[nodiscard]] bool prefers_lt(const Product& product) const;
  void compute(Context& context, const Product& product);

 private:
  Provider provider_;
  Dnn dnn_;
  Lt lt_;
};

/// The providers of a context's device, which owns them.
[[nodiscard]] Products& products_of(Context& context);

}  // namespace tessera::cuda
