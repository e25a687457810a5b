#include "tests/emulation/shared_memory.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "tests/emulation/sanitizers.h"

namespace tessera::emulation {

namespace {

constexpr size_t kRedZone = 256;
constexpr size_t kDynamicAlignment = 16;
constexpr int kPoison = 0xff;
constexpr unsigned kDynamic = 0;

unsigned sites = kDynamic;

}  // namespace

unsigned SharedSite::number() {
  unsigned number = __atomic_load_n(&number_, __ATOMIC_RELAXED);
  if (number != 0) return number;
  const unsigned next = __atomic_add_fetch(&sites, 1, __ATOMIC_RELAXED);
  // Another host thread may have been first.
  return __atomic_compare_exchange_n(&number_, &number, next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED) ? next
                                                                                                         : number;
}

SharedMemory::~SharedMemory() {
  for (Area& area : areas_) release_memory(area);
}

void SharedMemory::release_memory(Area& area) {
  if (area.memory == nullptr) return;
  allow(area.memory, area.reserved);
  std::free(area.memory);
  area.memory = nullptr;
  area.reserved = 0;
}

/// Finds memory for the area, at an address that is an odd multiple of its alignment.
void SharedMemory::place(Area& area, size_t bytes, size_t alignment) {
  const size_t needed = (kRedZone + 2 * alignment + bytes + kRedZone + 15) / 16 * 16;
  if (area.reserved < needed) {
    release_memory(area);
    area.memory = static_cast<char*>(std::malloc(needed));
    if (area.memory == nullptr) throw std::bad_alloc();
    area.reserved = needed;
  }
  const auto first = reinterpret_cast<uintptr_t>(area.memory) + kRedZone;
  const uintptr_t even = (first + 2 * alignment - 1) / (2 * alignment) * (2 * alignment);
  const uintptr_t odd = even - alignment >= first ? even - alignment : even + alignment;
  area.data = area.memory + (odd - reinterpret_cast<uintptr_t>(area.memory));
  area.bytes = bytes;
  allow(area.memory, area.reserved);
  std::memset(area.memory, kPoison, area.reserved);
  // The zone before begins at a boundary of 8 bytes only in part: AddressSanitizer knows no finer start of an area.
  forbid(area.memory, static_cast<size_t>(area.data - area.memory) / 8 * 8);
  forbid(area.data + bytes, area.reserved - static_cast<size_t>(area.data + bytes - area.memory));
}

void* SharedMemory::begin_area(unsigned number, const char* name, size_t bytes, size_t alignment) {
  [[maybe_unused]] const Unobserved quiet;
  if (number >= areas_.size()) areas_.resize(number + 1);
  Area& area = areas_[number];
  area.name = name;
  if (area.memory != nullptr && area.bytes == bytes) {
    std::memset(area.data, kPoison, bytes);
  } else {
    place(area, bytes, alignment);
  }
  area.used = true;
  used_.push_back(number);
  if (number != kDynamic) static_bytes_ += bytes;
  return area.data;
}

void* SharedMemory::dynamic_area() {
  if (dynamic_bytes_ == 0) return nullptr;
  if (areas_[kDynamic].used) return areas_[kDynamic].data;
  return begin_area(kDynamic, "dynamic shared memory", dynamic_bytes_, kDynamicAlignment);
}

bool SharedMemory::holds(const void* p, size_t bytes) const {
  const char* const first = static_cast<const char*>(p);
  return std::ranges::any_of(used_, [&](unsigned number) {
    const Area& area = areas_[number];
    return first >= area.data && first + bytes <= area.data + area.bytes;
  });
}

bool SharedMemory::overrun(const Area& area) {
#if defined(__SANITIZE_ADDRESS__)
  (void)area;
  return false;  // refused when it happens
#else
  static const std::array<char, kRedZone> untouched = [] {
    std::array<char, kRedZone> zone;
    zone.fill(static_cast<char>(kPoison));
    return zone;
  }();
  return std::memcmp(area.data - kRedZone, untouched.data(), kRedZone) != 0 ||
         std::memcmp(area.data + area.bytes, untouched.data(), kRedZone) != 0;
#endif
}

std::string SharedMemory::end_block() {
  std::string result;
  for (const unsigned number : used_) {
    if (overrun(areas_[number])) result += std::string(result.empty() ? "" : ", ") + areas_[number].name;
  }
  if (kRaces || !result.empty()) {
    abandon_block();
  } else {
    for (const unsigned number : used_) areas_[number].used = false;
    used_.clear();
    static_bytes_ = 0;
  }
  return result;
}

void SharedMemory::abandon_block() {
  for (const unsigned number : used_) {
    release_memory(areas_[number]);
    areas_[number].used = false;
  }
  used_.clear();
  static_bytes_ = 0;
}

}  // namespace tessera::emulation
