#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/runtime/backend.h"

namespace tessera {

/// What a plugin exports under the name `tessera_backend`. C++ objects cross this border, so engine and plugin must
/// come from the same sources and compiler; `build` says which.
struct BackendPlugin {
  const char* build;
  /// The number of usable devices; 0 with the reason in `why`.
  int (*devices)(std::string& why);
  /// Throws DeviceError.
  std::unique_ptr<Backend> (*open)(int index);
};
using BackendEntry = const BackendPlugin* (*)();
inline constexpr const char* kBackendEntry = "tessera_backend";

#define TESSERA_TEXT_OF(x) #x
#define TESSERA_TEXT(x) TESSERA_TEXT_OF(x)
/// The version of this border and the compiler. Raise the number whenever Backend, Context, View, an argument struct or
/// KernelTable changes.
inline constexpr const char* kBackendBuild = "tessera backend 2, " __VERSION__ ", C++ " TESSERA_TEXT(__cplusplus);

}  // namespace tessera
