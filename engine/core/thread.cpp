#include "engine/core/thread.h"

#include <fmt/format.h>

#include "engine/core/error.h"

namespace tessera {

void cannot_start_thread(std::string_view purpose, const std::system_error& error) {
  throw Error(fmt::format("cannot start a thread, {}: {}", purpose, error.code().message()));
}

}  // namespace tessera
