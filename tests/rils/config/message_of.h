#pragma once

#include <functional>
#include <string>

#include "engine/core/error.h"

namespace tessera::test {

/// The message of the ConfigError that an action throws, or "no error".
inline std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace tessera::test
