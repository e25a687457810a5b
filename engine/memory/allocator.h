#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tessera {

/// Figures of a pool, in bytes. Reserved is what the pool took from the system and keeps.
struct MemoryStatistics {
  int64_t current = 0;
  int64_t peak = 0;
  int64_t reserved = 0;
  int64_t allocations = 0;         // blocks handed out since the start
  int64_t system_allocations = 0;  // times the system was asked; constant in a warmed-up training loop
};

/// Seam of memory: returns blocks aligned to 64 bytes. Thread-safe.
class Allocator {
 public:
  virtual ~Allocator() = default;
  /// Throws OutOfMemoryError. Zero bytes give a valid, distinct block.
  [[nodiscard]] virtual void* allocate(size_t bytes) = 0;
  virtual void deallocate(void* block, size_t bytes) noexcept = 0;
  [[nodiscard]] virtual MemoryStatistics statistics() const = 0;
  virtual void reset_peak() = 0;
};

/// Names what the blocks allocated by this thread are for, until the scope ends; the names appear in OutOfMemoryError
/// and in `largest_holders`. Scopes nest, the innermost name counts. The pointer must outlive its blocks (a literal).
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

/// One line of the table of holders: bytes now held under a tag.
struct MemoryHolder {
  std::string tag;
  int64_t bytes = 0;
  int64_t blocks = 0;
};

}  // namespace tessera
