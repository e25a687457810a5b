#pragma once

#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "engine/memory/allocator.h"

namespace tessera {

struct HostPoolOptions {
  size_t limit_bytes = 0;  // 0: no limit; counts reserved bytes
  bool huge_pages = true;  // advise transparent huge pages for blocks of 2 MiB and more
  bool poison = false;     // fill fresh blocks with NaN patterns and freed ones with another
};

/// Caching pool of host memory. Sizes are rounded up to classes: four per power of two, and above 1 MiB also multiples
/// of 2 MiB. Freed blocks are kept by class and handed out again, the most recently freed first. A page fault costs
/// more per byte than most kernels, so a training loop must not ask the system for memory after its warm-up.
class HostPool final : public Allocator {
 public:
  explicit HostPool(HostPoolOptions options = {});
  ~HostPool() override;
  HostPool(const HostPool&) = delete;
  HostPool& operator=(const HostPool&) = delete;

  [[nodiscard]] void* allocate(size_t bytes) override;
  void deallocate(void* block, size_t bytes) noexcept override;
  [[nodiscard]] MemoryStatistics statistics() const override;
  void reset_peak() override;

  /// Returns every cached block to the system.
  void trim();
  void set_limit(size_t bytes);
  /// Memory held by each tag, the largest first.
  [[nodiscard]] std::vector<MemoryHolder> largest_holders(size_t count) const;
  /// The size class of a request: the bytes that it occupies.
  [[nodiscard]] static size_t rounded(size_t bytes);

 private:
  struct Live {
    size_t bytes;
    const char* tag;
  };
  void* from_system(size_t bytes);
  void to_system(void* block, size_t bytes) noexcept;
  void trim_locked() noexcept;
  [[noreturn]] void out_of_memory(size_t bytes) const;
  [[nodiscard]] std::vector<MemoryHolder> holders_locked(size_t count) const;

  HostPoolOptions options_;
  mutable std::mutex mutex_;
  std::map<size_t, std::vector<void*>> free_;
  std::unordered_map<void*, Live> live_;
  MemoryStatistics statistics_;
};

}  // namespace tessera
