#include "engine/memory/storage.h"

#include "engine/memory/allocator.h"

namespace tessera {

Storage::Storage(Device device, Allocator& allocator, size_t bytes)
    : device_(device), allocator_(allocator), pointer_(allocator.allocate(bytes)), bytes_(bytes) {}

Storage::~Storage() { allocator_.deallocate(pointer_, bytes_); }

}  // namespace tessera
