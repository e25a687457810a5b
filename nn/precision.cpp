#include "nn/precision.h"

#include <fmt/format.h>

#include "engine/core/error.h"

namespace tessera::nn {

Precision parse_precision(const std::string& name) {
  if (name == "fp32") return kFp32;
  if (name == "amp_bf16" || name == "bf16") return kAmpBf16;
  if (name == "fp64") return kFp64;
  throw ConfigError(fmt::format("precision: expected fp32 or amp_bf16, found \"{}\"", name));
}

}  // namespace tessera::nn
