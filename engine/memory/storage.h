#pragma once

#include <cstddef>

#include "engine/core/device.h"

namespace tessera {

class Allocator;

/// A block of memory. Tensors share it, and the last one frees it.
class Storage {
 public:
  Storage(Device device, Allocator& allocator, size_t bytes);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  [[nodiscard]] void* pointer() const { return pointer_; }
  [[nodiscard]] size_t bytes() const { return bytes_; }
  [[nodiscard]] Device device() const { return device_; }

 private:
  Device device_;
  Allocator& allocator_;
  void* pointer_;
  size_t bytes_;
};

}  // namespace tessera
