#include "engine/memory/storage.h"

#include "engine/memory/allocator.h"

namespace tessera {

Storage::Storage(Device device, Allocator& allocator, size_t bytes)
    : device_(device), allocator_(&allocator), pointer_(allocator.allocate(bytes)), bytes_(bytes) {}

Storage::Storage(Device device, void* pointer, size_t bytes, std::shared_ptr<void> keep)
    : device_(device), pointer_(pointer), bytes_(bytes), keep_(std::move(keep)) {}

Storage::~Storage() {
  if (allocator_ != nullptr) allocator_->deallocate(pointer_, bytes_);
}

}  // namespace tessera
