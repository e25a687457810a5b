#pragma once

#include <memory>
#include <string>

#include "engine/cuda/product.h"

namespace tessera::cuda {

/// Products by cuDNN: one handle of the library on one device, and the plans made for it. Library and handle are made
/// at the first product, on the device that is current then. Only one thread at a time may use it.
class Dnn {
 public:
  Dnn();
  ~Dnn();
  Dnn(const Dnn&) = delete;
  Dnn& operator=(const Dnn&) = delete;

  /// Why there are no products by cuDNN, in one line; empty where there are. A build without cuDNN has none.
  [[nodiscard]] static std::string unavailable();
  /// Whether it is a bf16 product to whose result something is done, in whole vectors; see dnn/request.h.
  [[nodiscard]] static bool takes(const Product& product);
  /// Computes a product that it takes. Returns false, and does nothing, when the library has no plan for it. Throws
  /// LibraryError with the call, the status and the problem.
  [[nodiscard]] bool compute(Context& context, const Product& product);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tessera::cuda
