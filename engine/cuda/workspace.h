#pragma once

#include "engine/runtime/context.h"

namespace tessera::cuda {

/// Workspace of a library's call, from the pool, aligned as the libraries want it. Null where no bytes are wanted.
class Workspace {
 public:
  static constexpr size_t kAlignment = 256;

  Workspace(Context& context, size_t bytes) : scratch_(context, bytes == 0 ? 0 : bytes + kAlignment) {
    if (bytes == 0) return;
    const auto address = reinterpret_cast<uintptr_t>(scratch_.as<char>());
    pointer_ = scratch_.as<char>() + (kAlignment - address % kAlignment) % kAlignment;
  }
  [[nodiscard]] void* get() const { return pointer_; }

 private:
  Scratch scratch_;
  char* pointer_ = nullptr;
};

}  // namespace tessera::cuda
