#include "rils/train/feed.h"

#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/thread.h"
#include "engine/runtime/context.h"

namespace tessera::rils {

FeedBuffers::FeedBuffers(Loader& loader, const Shape& images, Device device, Prepare prepare)
    : loader_(loader), prepare_(std::move(prepare)), backend_(context(device).backend()) {
  const MemoryTag tag("input images");
  const auto bytes = static_cast<size_t>(images.numel()) * sizeof(float);
  if (device == Device::cpu()) {
    slots_[0].host = slots_[0].images = Tensor::empty(images);
    return;
  }
  for (Slot& slot : slots_) {
    slot.host = Tensor(std::make_shared<Storage>(Device::cpu(), backend_.pinned(), bytes), images, DType::f32);
    slot.images = Tensor::empty(images, DType::f32, device);
    slot.read = backend_.mark();  // whatever had this memory before
  }
  thread_ = start_thread("the one that prepares batches", [this] { work(); });
}

FeedBuffers::~FeedBuffers() {
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

size_t FeedBuffers::next(Console& console) {
  if (thread_.joinable()) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return made_ > taken_; });
    slots_[current_].read = backend_.mark();
    current_ = static_cast<size_t>(taken_ % 2);
  } else {
    make(current_);
  }
  const Slot& slot = slots_[current_];
  for (const std::string& text : slot.ended) console.line(text);
  if (slot.error) std::rethrow_exception(slot.error);
  backend_.wait_for(slot.copied);
  {
    const std::lock_guard lock(mutex_);
    ++taken_;
  }
  changed_.notify_all();
  return current_;
}

void FeedBuffers::finish(Console& console) {
  if (!thread_.joinable()) {
    if (const auto ended = loader_.end_epoch()) console.line(ended->describe());
    return;
  }
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return made_ > taken_; });
  const Slot& unused = slots_[static_cast<size_t>(taken_ % 2)];
  for (size_t i = 0; i < unused.ended_first; ++i) console.line(unused.ended[i]);
}

/// The thread: prepares step n once step n − 1 has been taken, and so step n − 2, which had its buffer, is over.
void FeedBuffers::work() {
  for (int64_t n = 0;; ++n) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || n <= taken_; });
      if (stopping_) return;
    }
    const auto at = static_cast<size_t>(n % 2);
    make(at);
    {
      const std::lock_guard lock(mutex_);
      ++made_;
    }
    changed_.notify_all();
    if (slots_[at].error) return;
  }
}

void FeedBuffers::make(size_t at) {
  Slot& slot = slots_[at];
  slot.ended.clear();
  slot.ended_first = 0;
  slot.rows = 0;
  slot.error = nullptr;
  try {
    backend_.finish(slot.copied);
    prepare_(at, [&] { return take(slot); });
    if (slot.images.device() == Device::cpu()) return;
    const size_t bytes = slot.images.slice(0, 0, slot.rows).bytes();
    slot.copied = backend_.upload_beside(slot.images.pointer(), slot.host.pointer(), bytes, slot.read);
  } catch (...) {
    slot.error = std::current_exception();
  }
}

TakenBatch FeedBuffers::take(Slot& slot) {
  while (!loader_.next(batch_)) {
    slot.ended.push_back(loader_.stats().describe());
    if (slot.rows == 0) ++slot.ended_first;
  }
  slot.epoch = batch_.epoch;
  slot.place = batch_.next;
  const int64_t first = slot.rows, values = slot.host.numel() / slot.host.size(0);
  const int64_t rows = std::ssize(batch_.images) / values;
  TakenBatch taken{batch_, slot.host.slice(0, first, rows), slot.images.slice(0, first, rows)};
  std::ranges::copy(batch_.images, taken.host.data<float>().begin());
  slot.rows += rows;
  return taken;
}

}  // namespace tessera::rils
