#include "rils/train/feed.h"

#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/thread.h"
#include "engine/runtime/context.h"
#include "rils/train/inputs.h"

namespace tessera::rils {

Feed::Feed(Loader& loader, const Config& config, int64_t global_batch, int64_t parts, int64_t first_step, Device device)
    : loader_(loader), config_(config), parts_(parts), step_(first_step), backend_(context(device).backend()) {
  const MemoryTag tag("input images");
  const int64_t size = config.model.vision.image_size;
  const Shape shape{views_of(config) * global_batch, 3, size, size};
  const auto bytes = static_cast<size_t>(shape.numel()) * sizeof(float);
  if (device == Device::cpu()) {
    slots_[0].pinned = slots_[0].images = Tensor::empty(shape);
    return;
  }
  for (Slot& slot : slots_) {
    slot.pinned = Tensor(std::make_shared<Storage>(Device::cpu(), backend_.pinned(), bytes), shape, DType::f32);
    slot.images = Tensor::empty(shape, DType::f32, device);
    slot.read = backend_.mark();  // whatever had this memory before
  }
  thread_ = start_thread("the one that prepares batches", [this] { work(); });
}

Feed::~Feed() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  try {
    for (const Slot& slot : slots_) backend_.finish(slot.copied);
  } catch (const Error&) {  // the device has failed, and a step has said so
  }
}

const FedBatch& Feed::next(Console& console) {
  if (thread_.joinable()) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return made_ > taken_; });
    slots_[current_].read = backend_.mark();
    current_ = static_cast<size_t>(taken_ % 2);
  } else {
    make(slots_[0]);
  }
  Slot& slot = slots_[current_];
  for (const std::string& text : slot.fed.ended) console.line(text);
  if (slot.error) std::rethrow_exception(slot.error);
  backend_.wait_for(slot.copied);
  {
    const std::lock_guard lock(mutex_);
    ++taken_;
  }
  changed_.notify_all();
  return slot.fed;
}

void Feed::finish(Console& console) {
  if (!thread_.joinable()) {
    if (const auto ended = loader_.end_epoch()) console.line(ended->describe());
    return;
  }
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return made_ > taken_; });
  for (const std::string& text : slots_[static_cast<size_t>(taken_ % 2)].fed.ended) console.line(text);
}

/// The thread: makes batch n once batch n − 1 is in use, and so batch n − 2, which had its buffer, is not.
void Feed::work() {
  for (int64_t n = 0;; ++n) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || n <= taken_; });
      if (stopping_) return;
    }
    Slot& slot = slots_[static_cast<size_t>(n % 2)];
    make(slot);
    {
      const std::lock_guard lock(mutex_);
      ++made_;
    }
    changed_.notify_all();
    if (slot.error) return;
  }
}

void Feed::make(Slot& slot) {
  slot.fed.ended.clear();
  slot.error = nullptr;
  try {
    fill(slot);
  } catch (...) {
    slot.error = std::current_exception();
  }
}

void Feed::fill(Slot& slot) {
  Batch& batch = slot.fed.batch;
  while (!loader_.next(batch)) slot.fed.ended.push_back(loader_.stats().describe());
  backend_.finish(slot.copied);
  std::ranges::copy(batch.images, slot.pinned.data<float>().begin());
  if (slot.images.device() != Device::cpu()) {
    slot.copied = backend_.upload_beside(slot.images.pointer(), slot.pinned.pointer(), slot.images.bytes(), slot.read);
  }
  slot.fed.parts = to_micro_batches(batch, slot.images, config_, parts_, step_++);
}

}  // namespace tessera::rils
