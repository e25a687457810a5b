#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace tessera {

/// Statistics of a pool, in bytes. `reserved` is what the pool has taken from the system and keeps.
struct MemoryStatistics {
  int64_t current = 0;
  int64_t peak = 0;
  int64_t reserved = 0;
  int64_t allocations = 0;         // blocks handed out so far
  int64_t system_allocations = 0;  // requests to the system; constant in a warmed-up training loop
};

/// Source of memory for tensors. Blocks are aligned to 64 bytes. Thread-safe.
class Allocator {
 public:
  virtual ~Allocator() = default;
  /// Throws OutOfMemoryError. Zero bytes give a valid, distinct block.
  [[nodiscard]] virtual void* allocate(size_t bytes) = 0;
  virtual void deallocate(void* block, size_t bytes) noexcept = 0;
  [[nodiscard]] virtual MemoryStatistics statistics() const = 0;
  virtual void reset_peak() = 0;
};

/// Labels the blocks that this thread allocates until the scope ends; the labels appear in OutOfMemoryError and in
/// `largest_holders`. Scopes nest, and the innermost label counts. The string must outlive the blocks (use a literal).
class MemoryTag {
 public:
  explicit MemoryTag(const char* name);
  ~MemoryTag();
  MemoryTag(const MemoryTag&) = delete;
  MemoryTag& operator=(const MemoryTag&) = delete;
  [[nodiscard]] static const char* current();

 private:
  const char* previous_;
};

/// The memory now held under one tag.
struct MemoryHolder {
  std::string tag;
  int64_t bytes = 0;
  int64_t blocks = 0;
};

}  // namespace tessera
