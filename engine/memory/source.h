#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace tessera {

/// Where a pool gets its memory. Blocks are aligned to 64 bytes at least. A pool calls it under its own lock.
class MemorySource {
 public:
  virtual ~MemorySource() = default;
  /// Null when there is none left.
  [[nodiscard]] virtual void* take(size_t bytes) noexcept = 0;
  virtual void give_back(void* block, size_t bytes) noexcept = 0;
  /// Sets every byte. For poison.
  virtual void fill(void* block, int byte, size_t bytes) noexcept = 0;
  /// Waits until work under way has left the blocks that are free. Called before they are given back.
  virtual void quiesce() noexcept {}
  /// The memory's name in messages: "" for the host, "cuda:0" for a device.
  [[nodiscard]] virtual std::string name() const = 0;
};

/// Memory of the host. Blocks of 2 MiB and more are pages of their own, which start at a huge page.
[[nodiscard]] std::unique_ptr<MemorySource> host_memory(bool huge_pages = true);

}  // namespace tessera
