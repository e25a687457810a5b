#pragma once

// Shared memory of the block that runs.
#include <cstddef>
#include <string>
#include <vector>

#include "tests/emulation/emulator.h"

namespace tessera::emulation {

/// Most dynamic and static bytes of a launch, without and with cudaFuncSetAttribute.
inline constexpr size_t kSharedWithoutAsking = 48 * 1024;
inline constexpr size_t kSharedMost = 227 * 1024;

/// Each area lies between red zones, has the alignment that was asked for and no more, and is filled with 0xff (NaN,
/// or −1) for each block. Red zones hold 0xff as well; AddressSanitizer refuses them at once, and writes into them are
/// found at the block's end elsewhere. Under ThreadSanitizer each block has fresh memory, because what another block
/// did to its own is no race.
class SharedMemory {
 public:
  SharedMemory() = default;
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  void begin_block(size_t dynamic_bytes) { dynamic_bytes_ = dynamic_bytes; }
  /// Names the areas that were overrun. Empty if all is well.
  [[nodiscard]] std::string end_block();
  /// The block will not end. Nothing is checked, and no memory is kept.
  void abandon_block();

  void* area(SharedSite& site, size_t bytes, size_t alignment) {
    const unsigned number = site.number();
    if (number < areas_.size() && areas_[number].used) return areas_[number].data;
    return begin_area(number, site.name(), bytes, alignment);
  }
  void* dynamic_area();
  [[nodiscard]] size_t dynamic_bytes() const { return dynamic_bytes_; }
  /// Of the areas of this block.
  [[nodiscard]] size_t static_bytes() const { return static_bytes_; }
  [[nodiscard]] bool holds(const void* p, size_t bytes) const;

 private:
  struct Area {
    const char* name = nullptr;
    char* memory = nullptr;  ///< with the red zones
    size_t reserved = 0;
    char* data = nullptr;
    size_t bytes = 0;
    bool used = false;  ///< by this block
  };

  void* begin_area(unsigned number, const char* name, size_t bytes, size_t alignment);
  static void place(Area& area, size_t bytes, size_t alignment);
  static void release_memory(Area& area);
  static bool overrun(const Area& area);

  std::vector<Area> areas_{1};  ///< by the number of their site; the first is the dynamic one
  std::vector<unsigned> used_;
  size_t dynamic_bytes_ = 0, static_bytes_ = 0;
};

}  // namespace tessera::emulation
