#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "engine/core/thread.h"

namespace tessera::rils {

/// Worker threads make the items first, first + 1, … ahead of time; take() hands them out in this order for any number
/// of workers. At most `capacity` items exist beyond the one that is handed out next. Without workers take() makes the
/// item itself. The constructor throws Error when a worker cannot be started. When `make` throws, the take() of that
/// item throws the same exception. The destructor waits only for items that are being made.
template <class Item>
class OrderedPrefetch {
 public:
  static constexpr uint64_t kEndless = std::numeric_limits<uint64_t>::max();

  OrderedPrefetch(int workers, size_t capacity, uint64_t first, uint64_t end, std::function<Item(uint64_t)> make)
      : make_(std::move(make)), slots_(capacity < 1 ? 1 : capacity), claimed_(first), taken_(first), end_(end) {
    try {
      for (int i = 0; i < workers; ++i) {
        threads_.push_back(start_thread("a worker of the loader (--workers sets their number)", [this] { work(); }));
      }
    } catch (...) {
      stop();  // the workers that have started would wait for ever
      throw;
    }
  }
  ~OrderedPrefetch() { stop(); }
  OrderedPrefetch(const OrderedPrefetch&) = delete;
  OrderedPrefetch& operator=(const OrderedPrefetch&) = delete;

  /// Returns the next item. Must not be called after the last one.
  Item take() {
    if (threads_.empty()) return make_(taken_++);
    std::unique_lock lock(mutex_);
    Slot& slot = slots_[taken_ % slots_.size()];
    ready_.wait(lock, [&slot] { return slot.item.has_value() || slot.error; });
    const std::exception_ptr error = std::exchange(slot.error, nullptr);
    std::optional<Item> item = std::exchange(slot.item, std::nullopt);
    ++taken_;
    lock.unlock();
    room_.notify_one();
    if (error) std::rethrow_exception(error);
    return std::move(*item);
  }

 private:
  struct Slot {
    std::optional<Item> item;
    std::exception_ptr error;
  };

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    room_.notify_all();
  }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      room_.wait(lock, [this] { return stopping_ || (claimed_ < end_ && claimed_ - taken_ < slots_.size()); });
      if (stopping_) return;
      const uint64_t position = claimed_++;
      lock.unlock();
      Slot made;
      try {
        made.item = make_(position);
      } catch (...) {
        made.error = std::current_exception();
      }
      lock.lock();
      slots_[position % slots_.size()] = std::move(made);
      if (position == taken_) ready_.notify_one();
    }
  }

  std::function<Item(uint64_t)> make_;
  std::mutex mutex_;
  std::condition_variable room_, ready_;
  std::vector<Slot> slots_;
  uint64_t claimed_, taken_, end_;
  bool stopping_ = false;
  std::vector<std::jthread> threads_;  // last: joined before anything else goes
};

}  // namespace tessera::rils
