#include "engine/memory/pool.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "engine/core/error.h"

namespace tessera {
namespace {

constexpr size_t kSmall = size_t{1} << 20;
constexpr size_t kHuge = size_t{2} << 20;
constexpr int kPoisonFresh = 0xff;  // a NaN in f32, bf16 and f64 alike
constexpr int kPoisonFreed = 0xfe;

thread_local const char* current_tag = "tensors";

/// Rounds up to a quarter power of two, which adds 25 % at most.
size_t quarter_power(size_t bytes) {
  const size_t step = std::max<size_t>(std::bit_floor(bytes - 1) / 4, 64);
  return (bytes + step - 1) / step * step;
}

}  // namespace

MemoryTag::MemoryTag(const char* name) : previous_(current_tag) { current_tag = name; }
MemoryTag::~MemoryTag() { current_tag = previous_; }
const char* MemoryTag::current() { return current_tag; }

HostPool::HostPool(HostPoolOptions options) : options_(options) {}

HostPool::~HostPool() { trim_locked(); }

size_t HostPool::rounded(size_t bytes) {
  if (bytes <= 64) return 64;
  const size_t size = quarter_power(bytes);
  return size <= kSmall ? size : (size + kHuge - 1) / kHuge * kHuge;
}

void* HostPool::from_system(size_t bytes) {
  if (bytes < kHuge) return std::aligned_alloc(64, bytes);
  // Over-allocate by one huge page so that the block starts on its boundary, and give the ends back.
  void* raw = ::mmap(nullptr, bytes + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  const auto start = reinterpret_cast<uintptr_t>(raw);
  const uintptr_t aligned = (start + kHuge - 1) / kHuge * kHuge;
  if (aligned > start) ::munmap(raw, aligned - start);
  if (const size_t tail = start + kHuge - aligned; tail > 0) ::munmap(reinterpret_cast<void*>(aligned + bytes), tail);
  if (options_.huge_pages) ::madvise(reinterpret_cast<void*>(aligned), bytes, MADV_HUGEPAGE);
  return reinterpret_cast<void*>(aligned);
}

void HostPool::to_system(void* block, size_t bytes) noexcept {
  if (bytes < kHuge) {
    std::free(block);
  } else {
    ::munmap(block, bytes);
  }
}

void* HostPool::allocate(size_t bytes) {
  const size_t size = rounded(bytes);
  const std::lock_guard lock(mutex_);
  void* block = nullptr;
  if (auto it = free_.find(size); it != free_.end() && !it->second.empty()) {
    block = it->second.back();
    it->second.pop_back();
  } else {
    const auto over = [&] {
      return options_.limit_bytes != 0 && static_cast<size_t>(statistics_.reserved) + size > options_.limit_bytes;
    };
    if (over()) trim_locked();
    if (over()) out_of_memory(bytes);
    block = from_system(size);
    if (block == nullptr) {
      trim_locked();
      block = from_system(size);
    }
    if (block == nullptr) out_of_memory(bytes);
    statistics_.reserved += static_cast<int64_t>(size);
    ++statistics_.system_allocations;
  }
  if (options_.poison) std::memset(block, kPoisonFresh, size);
  live_[block] = {size, current_tag};
  ++statistics_.allocations;
  statistics_.current += static_cast<int64_t>(size);
  statistics_.peak = std::max(statistics_.peak, statistics_.current);
  return block;
}

void HostPool::deallocate(void* block, size_t bytes) noexcept {
  const size_t size = rounded(bytes);
  const std::lock_guard lock(mutex_);
  if (options_.poison) std::memset(block, kPoisonFreed, size);
  live_.erase(block);
  statistics_.current -= static_cast<int64_t>(size);
  free_[size].push_back(block);
}

MemoryStatistics HostPool::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void HostPool::reset_peak() {
  const std::lock_guard lock(mutex_);
  statistics_.peak = statistics_.current;
}

void HostPool::trim() {
  const std::lock_guard lock(mutex_);
  trim_locked();
}

void HostPool::trim_locked() noexcept {
  for (auto& [size, blocks] : free_) {
    for (void* block : blocks) to_system(block, size);
    statistics_.reserved -= static_cast<int64_t>(size * blocks.size());
    blocks.clear();
  }
}

void HostPool::set_limit(size_t bytes) {
  const std::lock_guard lock(mutex_);
  options_.limit_bytes = bytes;
}

std::vector<MemoryHolder> HostPool::largest_holders(size_t count) const {
  const std::lock_guard lock(mutex_);
  return holders_locked(count);
}

std::vector<MemoryHolder> HostPool::holders_locked(size_t count) const {
  std::map<std::string, MemoryHolder> by_tag;
  for (const auto& [block, live] : live_) {
    auto& holder = by_tag[live.tag];
    holder.bytes += static_cast<int64_t>(live.bytes);
    ++holder.blocks;
  }
  std::vector<MemoryHolder> holders;
  for (auto& [tag, holder] : by_tag) {
    holder.tag = tag;
    holders.push_back(holder);
  }
  std::ranges::sort(
      holders, [](const auto& a, const auto& b) { return a.bytes != b.bytes ? a.bytes > b.bytes : a.tag < b.tag; });
  if (holders.size() > count) holders.resize(count);
  return holders;
}

void HostPool::out_of_memory(size_t bytes) const {
  constexpr double kMiB = 1 << 20;
  std::string message = fmt::format("out of memory: asked for {:.1f} MiB, {:.1f} MiB in use",
                                    static_cast<double>(bytes) / kMiB, static_cast<double>(statistics_.current) / kMiB);
  if (options_.limit_bytes != 0) {
    message += fmt::format(", limit {:.1f} MiB", static_cast<double>(options_.limit_bytes) / kMiB);
  }
  const char* separator = "; largest holders: ";
  for (const auto& holder : holders_locked(5)) {
    message += fmt::format("{}{} {:.1f} MiB", separator, holder.tag, static_cast<double>(holder.bytes) / kMiB);
    separator = ", ";
  }
  throw OutOfMemoryError(message);
}

}  // namespace tessera
