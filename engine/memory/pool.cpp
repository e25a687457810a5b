#include "engine/memory/pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "engine/core/error.h"

namespace tessera {
namespace {

constexpr size_t kSmall = size_t{1} << 20;
constexpr size_t kLarge = size_t{2} << 20;
constexpr size_t kArena = size_t{256} << 20;
constexpr int kPoisonFresh = 0xff;  // a NaN in f32, bf16 and f64 alike
constexpr int kPoisonFreed = 0xfe;

thread_local const char* current_tag = "tensors";

/// Rounds up to a quarter power of two, which adds 25 % at most, and arenas to a 32nd.
size_t class_of(size_t bytes) {
  const size_t step = std::max<size_t>(std::bit_floor(bytes - 1) / (bytes < kArena ? 4 : 32), 64);
  return (bytes + step - 1) / step * step;
}

}  // namespace

MemoryTag::MemoryTag(const char* name) : previous_(current_tag) { current_tag = name; }
MemoryTag::~MemoryTag() { current_tag = previous_; }
const char* MemoryTag::current() { return current_tag; }

CachingPool::CachingPool(std::unique_ptr<MemorySource> source, PoolOptions options)
    : source_(std::move(source)), options_(options) {}

CachingPool::~CachingPool() { trim_locked(); }

size_t CachingPool::rounded(size_t bytes) {
  if (bytes <= 64) return 64;
  const size_t size = class_of(bytes);
  return size <= kSmall ? size : (size + kLarge - 1) / kLarge * kLarge;
}

CachingPool::Block CachingPool::cached(size_t size) {
  const size_t most = size < kLarge ? 2 * size : size + size / 4;
  for (auto it = free_.lower_bound(size); it != free_.end() && it->first <= most; ++it) {
    if (it->second.empty()) continue;
    const Block block{it->second.back(), it->first};
    it->second.pop_back();
    return block;
  }
  return {};
}

CachingPool::Block CachingPool::fresh(size_t size) {
  const auto ask = [&]() -> void* {
    const bool over =
        options_.limit_bytes != 0 && static_cast<size_t>(statistics_.reserved) + size > options_.limit_bytes;
    return over ? nullptr : source_->take(size);
  };
  void* pointer = ask();
  if (pointer == nullptr) {
    trim_locked();
    pointer = ask();
  }
  if (pointer == nullptr) return {};
  statistics_.reserved += static_cast<int64_t>(size);
  ++statistics_.system_allocations;
  return {pointer, size};
}

void* CachingPool::allocate(size_t bytes) {
  const size_t size = rounded(bytes);
  const std::lock_guard lock(mutex_);
  Block block = cached(size);
  if (block.pointer == nullptr) block = fresh(size);
  if (block.pointer == nullptr) out_of_memory(bytes);
  if (options_.poison) source_->fill(block.pointer, kPoisonFresh, block.bytes);
  live_[block.pointer] = {block.bytes, current_tag};
  ++statistics_.allocations;
  statistics_.current += static_cast<int64_t>(block.bytes);
  statistics_.peak = std::max(statistics_.peak, statistics_.current);
  return block.pointer;
}

void CachingPool::deallocate(void* block, size_t /*bytes*/) noexcept {
  const std::lock_guard lock(mutex_);
  const auto live = live_.find(block);
  const size_t size = live->second.bytes;
  live_.erase(live);
  if (options_.poison) source_->fill(block, kPoisonFreed, size);
  statistics_.current -= static_cast<int64_t>(size);
  free_[size].push_back(block);
}

MemoryStatistics CachingPool::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void CachingPool::reset_peak() {
  const std::lock_guard lock(mutex_);
  statistics_.peak = statistics_.current;
}

void CachingPool::trim() {
  const std::lock_guard lock(mutex_);
  trim_locked();
}

void CachingPool::trim_locked() noexcept {
  source_->quiesce();
  for (auto& [size, blocks] : free_) {
    for (void* block : blocks) source_->give_back(block, size);
    statistics_.reserved -= static_cast<int64_t>(size * blocks.size());
    blocks.clear();
  }
}

void CachingPool::set_limit(size_t bytes) {
  const std::lock_guard lock(mutex_);
  options_.limit_bytes = bytes;
}

std::vector<MemoryHolder> CachingPool::largest_holders(size_t count) const {
  const std::lock_guard lock(mutex_);
  return holders_locked(count);
}

std::vector<MemoryHolder> CachingPool::holders_locked(size_t count) const {
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

void CachingPool::out_of_memory(size_t bytes) const {
  constexpr double kMiB = 1 << 20;
  const std::string name = source_->name();
  std::string message =
      fmt::format("{}{}out of memory: asked for {:.1f} MiB, {:.1f} MiB in use", name, name.empty() ? "" : ": ",
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
