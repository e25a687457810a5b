#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "engine/memory/source.h"

namespace tessera {
namespace {

constexpr size_t kHuge = size_t{2} << 20;

class HostMemory final : public MemorySource {
 public:
  explicit HostMemory(bool huge_pages) : huge_pages_(huge_pages) {}

  void* take(size_t bytes) noexcept override {
    if (bytes < kHuge) return std::aligned_alloc(64, bytes);
    // Over-allocate by one huge page so that the block starts on its boundary, and give the ends back.
    void* raw = ::mmap(nullptr, bytes + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) return nullptr;
    const auto start = reinterpret_cast<uintptr_t>(raw);
    const uintptr_t aligned = (start + kHuge - 1) / kHuge * kHuge;
    if (aligned > start) ::munmap(raw, aligned - start);
    if (const size_t tail = start + kHuge - aligned; tail > 0) ::munmap(reinterpret_cast<void*>(aligned + bytes), tail);
    if (huge_pages_) ::madvise(reinterpret_cast<void*>(aligned), bytes, MADV_HUGEPAGE);
    return reinterpret_cast<void*>(aligned);
  }
  void give_back(void* block, size_t bytes) noexcept override {
    if (bytes < kHuge) {
      std::free(block);
    } else {
      ::munmap(block, bytes);
    }
  }
  void fill(void* block, int byte, size_t bytes) noexcept override { std::memset(block, byte, bytes); }
  std::string name() const override { return {}; }

 private:
  bool huge_pages_;
};

}  // namespace

std::unique_ptr<MemorySource> host_memory(bool huge_pages) { return std::make_unique<HostMemory>(huge_pages); }

}  // namespace tessera
