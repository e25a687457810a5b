#pragma once

#include <cstddef>
#include <memory>

#include "engine/core/device.h"

namespace tessera {

class Allocator;

/// A block of memory, shared by the tensors that look into it and freed with the last of them.
class Storage {
 public:
  Storage(Device device, Allocator& allocator, size_t bytes);
  /// Memory owned by somebody else (a mapped file); `keep` is released with the storage.
  Storage(Device device, void* pointer, size_t bytes, std::shared_ptr<void> keep);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  [[nodiscard]] void* pointer() const { return pointer_; }
  [[nodiscard]] size_t bytes() const { return bytes_; }
  [[nodiscard]] Device device() const { return device_; }

 private:
  Device device_;
  Allocator* allocator_ = nullptr;
  void* pointer_ = nullptr;
  size_t bytes_ = 0;
  std::shared_ptr<void> keep_;
};

}  // namespace tessera
