#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/runtime/backend.h"
#include "engine/tensor/tensor.h"
#include "rils/data/loader.h"
#include "rils/run/progress.h"

namespace tessera::rils {

/// A batch of the loader, whose images lie in the memory of the step that is being prepared.
struct TakenBatch {
  const Batch& batch;  // valid until the next one is taken
  Tensor host;         // f32 [views · batch.size, 3, size, size], a copy of batch.images that may be changed
  Tensor images;       // what the step reads: on the CPU the same tensor, on a GPU `host` as the preparation leaves it
};
using TakeBatch = std::function<TakenBatch()>;

/// The part of Feed that does not know what a micro-batch holds: memory, thread, copies, and the place in the data.
class FeedBuffers {
 public:
  /// Prepares the next step in slot 0 or 1 from the batches that it takes.
  using Prepare = std::function<void(size_t slot, const TakeBatch& take)>;

  FeedBuffers(Loader& loader, const Shape& images, Device device, Prepare prepare);
  ~FeedBuffers();
  FeedBuffers(const FeedBuffers&) = delete;
  FeedBuffers& operator=(const FeedBuffers&) = delete;

  /// The slot of the next step. The other functions are those of Feed.
  [[nodiscard]] size_t next(Console& console);
  void finish(Console& console);
  [[nodiscard]] const LoaderState& place() const { return slots_[current_].place; }
  [[nodiscard]] int64_t epoch() const { return slots_[current_].epoch; }

 private:
  struct Slot {
    Tensor host, images;             // host is pinned memory; the same tensor on the CPU
    int64_t rows = 0;                // of the images in use
    Ticket copied, read;             // the copy from one to the other, and the step that read `images` before
    std::vector<std::string> ended;  // the counts of the epochs that ended before one of its batches
    size_t ended_first = 0;          // the number of them that ended before its first batch
    int64_t epoch = 0;
    LoaderState place;
    std::exception_ptr error;
  };
  void work();
  void make(size_t at);
  TakenBatch take(Slot& slot);

  Loader& loader_;
  Prepare prepare_;
  Backend& backend_;
  Batch batch_;
  std::array<Slot, 2> slots_;
  size_t current_ = 0;

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  int64_t made_ = 0, taken_ = 0;  // steps
  bool stopping_ = false;
  std::jthread thread_;
};

/// Gives each step of a run its micro-batches of type Part. On a GPU a thread prepares the next step while one
/// computes: it takes the loader's batches, writes their images into pinned memory and copies them into one of two
/// buffers of the device, beside the kernels. On the CPU `next` does all this itself, with one buffer: a thread would
/// take time from the kernels. The micro-batches are the same.
template <class Part>
class Feed {
 public:
  /// Prepares the micro-batches of the next step from the batches that it takes.
  using Prepare = std::function<std::vector<Part>(const TakeBatch& take)>;

  /// `images` is the shape of the largest step's images. Nobody else may use the loader meanwhile.
  Feed(Loader& loader, const Shape& images, Device device, Prepare prepare)
      : buffers_(loader, images, device, [this, prepare = std::move(prepare)](size_t slot, const TakeBatch& take) {
          parts_[slot] = prepare(take);
        }) {}

  /// The next step's micro-batches; the console is told the counts of the epochs that ended before or between them. All
  /// that reads those of the step before must be queued: their images are overwritten from here on. Passes on what the
  /// loader throws, at the step whose data are missing.
  [[nodiscard]] const std::vector<Part>& next(Console& console) { return parts_[buffers_.next(console)]; }
  /// At the end of a run: tells the console the counts of the epoch if it ended with the last step.
  void finish(Console& console) { buffers_.finish(console); }
  /// The place in the data from which a run goes on after the step of the last `next`.
  [[nodiscard]] const LoaderState& place() const { return buffers_.place(); }
  /// The epoch of that step's last batch.
  [[nodiscard]] int64_t epoch() const { return buffers_.epoch(); }

 private:
  std::array<std::vector<Part>, 2> parts_;
  FeedBuffers buffers_;  // last: its thread writes parts_
};

}  // namespace tessera::rils
