#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/runtime/backend.h"
#include "rils/config/config.h"
#include "rils/data/loader.h"
#include "rils/method/step.h"
#include "rils/run/progress.h"

namespace tessera::rils {

/// A global batch as a step reads it, with the place in the data from which a run goes on after this step.
struct FedBatch {
  Batch batch;
  std::vector<MicroBatch> parts;
  std::vector<std::string> ended;  // the counts of the epochs that ended before it
};

/// Gives each step of a run its batch. On a GPU a thread takes the loader's next batch while a step computes, writes it
/// into pinned memory and copies it into one of two buffers of the device, beside the kernels. On the CPU `next` does
/// all this itself, with one buffer: a thread would take time from the kernels. The batches are the same.
class Feed {
 public:
  /// `parts` micro-batches a step. The first batch is that of step `first_step` (0-based), whose masks it gets. Nobody
  /// else may use the loader meanwhile.
  Feed(Loader& loader, const Config& config, int64_t global_batch, int64_t parts, int64_t first_step, Device device);
  ~Feed();
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  /// The next step's batch; the console is told the counts of an epoch that ended before it. All that reads the batch
  /// before must be queued: its images are overwritten from here on. Passes on what the loader throws, at the step
  /// whose batch is missing.
  const FedBatch& next(Console& console);
  /// At the end of a run: tells the console the counts of the epoch if the last batch was its last.
  void finish(Console& console);
  /// What the last call of `next` returned.
  [[nodiscard]] const FedBatch& current() const { return slots_[current_].fed; }

 private:
  struct Slot {
    FedBatch fed;
    Tensor pinned, images;  // [views · rows, 3, size, size]; the same tensor on the CPU
    Ticket copied, read;    // the copy from one to the other, and the step that read `images` before
    std::exception_ptr error;
  };
  void work();
  void make(Slot& slot);
  void fill(Slot& slot);

  Loader& loader_;
  Config config_;
  int64_t parts_;
  int64_t step_;  // of the batch that is made next
  Backend& backend_;
  std::array<Slot, 2> slots_;
  size_t current_ = 0;

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  int64_t made_ = 0, taken_ = 0;  // batches
  bool stopping_ = false;
  std::jthread thread_;
};

}  // namespace tessera::rils
