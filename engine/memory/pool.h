#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "engine/memory/allocator.h"
#include "engine/memory/source.h"

namespace tessera {

struct PoolOptions {
  size_t limit_bytes = 0;  // 0: no limit; counts reserved bytes
  bool poison = false;     // fill fresh blocks with NaN patterns and freed ones with another
};

/// Caching pool over a source of memory. Sizes are rounded up to classes: four per power of two, from 256 MiB on 32
/// (the arenas of parameters, which never change), and above 1 MiB also multiples of 2 MiB. Freed blocks are kept by
/// class and handed out again, the most recently freed first; where a class has none, the smallest free block of at
/// most twice the size serves, from 2 MiB on of at most 1.25 times, so that sizes that vary from step to step neither
/// hoard memory nor ask for more. A page fault, or a call of the driver, costs more than most kernels, so a training
/// loop must not ask the source for memory after its warm-up. Where the source has none left, the pool gives its free
/// blocks back and asks once more.
class CachingPool final : public Allocator {
 public:
  explicit CachingPool(std::unique_ptr<MemorySource> source, PoolOptions options = {});
  ~CachingPool() override;
  CachingPool(const CachingPool&) = delete;
  CachingPool& operator=(const CachingPool&) = delete;

  [[nodiscard]] void* allocate(size_t bytes) override;
  void deallocate(void* block, size_t bytes) noexcept override;
  [[nodiscard]] MemoryStatistics statistics() const override;
  void reset_peak() override;

  /// Returns every cached block to the source.
  void trim();
  void set_limit(size_t bytes);
  /// Memory held by each tag, the largest first.
  [[nodiscard]] std::vector<MemoryHolder> largest_holders(size_t count) const;
  /// The size class of a request: the bytes that it occupies in a fresh block.
  [[nodiscard]] static size_t rounded(size_t bytes);

 private:
  struct Live {
    size_t bytes;
    const char* tag;
  };
  struct Block {
    void* pointer = nullptr;
    size_t bytes = 0;
  };
  [[nodiscard]] Block cached(size_t size);
  [[nodiscard]] Block fresh(size_t size);
  void trim_locked() noexcept;
  [[noreturn]] void out_of_memory(size_t bytes) const;
  [[nodiscard]] std::vector<MemoryHolder> holders_locked(size_t count) const;

  std::unique_ptr<MemorySource> source_;
  PoolOptions options_;
  mutable std::mutex mutex_;
  std::map<size_t, std::vector<void*>> free_;
  std::unordered_map<void*, Live> live_;
  MemoryStatistics statistics_;
};

}  // namespace tessera
