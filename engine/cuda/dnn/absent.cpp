// Products by cuDNN in a build that did not find it.
#include "engine/cuda/dnn.h"

namespace tessera::cuda {

struct Dnn::State {};

Dnn::Dnn() = default;
Dnn::~Dnn() = default;

std::string Dnn::unavailable() { return "this build has no products by cuDNN"; }
bool Dnn::takes(const Product& /*product*/) { return false; }
bool Dnn::compute(Context& /*context*/, const Product& /*product*/) { return false; }

}  // namespace tessera::cuda
