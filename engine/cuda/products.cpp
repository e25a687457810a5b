#include "engine/cuda/products.h"

#include <cstdlib>
#include <string>

#include "engine/core/error.h"

namespace tessera::cuda {

Provider provider_from_environment() {
  const char* text = std::getenv("TESSERA_PRODUCTS");
  const std::string word = text != nullptr ? text : "";
  if (word.empty() || word == "auto") return Provider::automatic;
  if (word == "own") return Provider::own;
  if (word == "lt") return Provider::lt;
  if (word == "cudnn") {
    const std::string why = Dnn::unavailable();
    if (!why.empty()) throw ConfigError("TESSERA_PRODUCTS=cudnn: " + why);
    return Provider::cudnn;
  }
  throw ConfigError("TESSERA_PRODUCTS=" + word + ": expected auto, own, lt or cudnn");
}

bool Products::prefers_dnn(const Product& p) const { return provider_ == Provider::cudnn && Dnn::takes(p); }

bool Products::prefers_lt(const Product& p) const {
  if (provider_ == Provider::own || !Lt::takes(p)) return false;
  const double work =
      static_cast<double>(p.batches) * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
  return provider_ == Provider::lt || work >= kLarge;
}

void Products::compute(Context& context, const Product& product) {
  if (prefers_dnn(product) && dnn_.compute(context, product)) return;
  if (prefers_lt(product) && lt_.compute(context, product)) return;
  own_product(context, product);
}

void compute(Context& context, const Product& product) { products_of(context).compute(context, product); }

}  // namespace tessera::cuda
