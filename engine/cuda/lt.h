#pragma once

#include <memory>

#include "engine/cuda/product.h"

namespace tessera::cuda {

/// Products by cuBLASLt: one handle of the library on one device, and the algorithms it proposed. The handle is made at
/// the first product, on the device that is current then. Only one thread at a time may use it.
class Lt {
 public:
  Lt();
  ~Lt();
  Lt(const Lt&) = delete;
  Lt& operator=(const Lt&) = delete;

  /// Whether cuBLASLt can compute the product exactly as it is described: alpha, a bias of y's type, and a residual of
  /// y's type or accumulation. Activations are not its case (its GELU is the tanh form), nor is a bf16 result with our
  /// f32 bias, nor anything empty.
  [[nodiscard]] static bool takes(const Product& product);
  /// Computes a product that it takes. Returns false, and does nothing, when the library has no algorithm for it.
  /// Throws LibraryError with the call, the problem and the status.
  [[nodiscard]] bool compute(Context& context, const Product& product);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tessera::cuda
