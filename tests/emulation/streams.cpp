// Errors, streams and events. Work is done when it is queued, but for copies that a test delays; handles are checked.
#include <cuda_runtime_api.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <limits>
#include <mutex>
#include <set>

#include "tests/emulation/runtime.h"

// What a handle points to.
struct CUstream_st {
  struct Copy {
    void* to;
    const void* from;
    size_t bytes;
    int64_t number;  // of all copies so far
  };
  std::deque<Copy> late;
};
struct CUevent_st {
  bool timed = true, recorded = false;
  std::chrono::steady_clock::time_point time;
  cudaStream_t stream = nullptr;
  int64_t number = 0;  // of the last copy before it
};

namespace tessera::emulation {

namespace {

thread_local cudaError_t last_error = cudaSuccess;

struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* text;
};
constexpr ErrorText kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidDevicePointer, "cudaErrorInvalidDevicePointer", "invalid device pointer"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
};
ErrorText text_of(cudaError_t error) {
  for (const ErrorText& e : kErrors) {
    if (e.error == error) return e;
  }
  return {error, "unrecognized error code", "unrecognized error code"};
}

/// The handles that exist.
template <class T>
class Handles {
 public:
  T* add() {
    const std::lock_guard lock(mutex_);
    return *handles_.insert(new T).first;
  }
  bool remove(T* handle) {
    const std::lock_guard lock(mutex_);
    if (handles_.erase(handle) == 0) return false;
    delete handle;
    return true;
  }
  bool has(T* handle) {
    const std::lock_guard lock(mutex_);
    return handles_.contains(handle);
  }
  ~Handles() {
    for (T* const handle : handles_) delete handle;
  }
  Handles() = default;
  Handles(const Handles&) = delete;
  Handles& operator=(const Handles&) = delete;

 private:
  std::mutex mutex_;
  std::set<T*> handles_;
};

Handles<CUstream_st>& streams() {
  static Handles<CUstream_st> result;
  return result;
}
Handles<CUevent_st>& events() {
  static Handles<CUevent_st> result;
  return result;
}

cudaError_t found(bool handle) { return noted(handle ? cudaSuccess : cudaErrorInvalidResourceHandle); }
bool is_stream(cudaStream_t stream) { return stream == nullptr || streams().has(stream); }

std::atomic<cudaError_t> next_wait = cudaSuccess;

/// What a wait returns.
cudaError_t waited(bool handle) { return handle ? noted(next_wait.exchange(cudaSuccess)) : found(false); }

/// The copies that wait in streams.
struct LateCopies {
  std::mutex mutex;
  bool wanted = false;
  int64_t count = 0;
};
LateCopies& late() {
  static LateCopies result;
  return result;
}

/// Makes the late copies of a stream up to this one.
void catch_up(cudaStream_t stream, int64_t number) {
  if (stream == nullptr || !streams().has(stream)) return;
  const std::lock_guard lock(late().mutex);
  for (auto& copies = stream->late; !copies.empty() && copies.front().number <= number; copies.pop_front()) {
    std::memcpy(copies.front().to, copies.front().from, copies.front().bytes);
  }
}
void catch_up_to(cudaEvent_t event) {
  if (events().has(event) && event->recorded) catch_up(event->stream, event->number);
}

}  // namespace

void fail_wait(cudaError_t error) { next_wait = error; }

void delay_copies(bool delayed) {
  const std::lock_guard lock(late().mutex);
  late().wanted = delayed;
}

bool delay(cudaStream_t stream, void* to, const void* from, size_t bytes) {
  if (stream == nullptr || !streams().has(stream)) return false;
  const std::lock_guard lock(late().mutex);
  if (late().wanted) stream->late.push_back({to, from, bytes, ++late().count});
  return late().wanted;
}
void catch_up(cudaStream_t stream) { catch_up(stream, std::numeric_limits<int64_t>::max()); }

cudaError_t noted(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

}  // namespace tessera::emulation

using tessera::emulation::catch_up;
using tessera::emulation::catch_up_to;
using tessera::emulation::events;
using tessera::emulation::found;
using tessera::emulation::is_stream;
using tessera::emulation::late;
using tessera::emulation::noted;
using tessera::emulation::streams;
using tessera::emulation::waited;

const char* cudaGetErrorName(cudaError_t error) { return tessera::emulation::text_of(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return tessera::emulation::text_of(error).text; }
cudaError_t cudaGetLastError() {
  const cudaError_t error = tessera::emulation::last_error;
  tessera::emulation::last_error = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() { return tessera::emulation::last_error; }

// Streams.

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = streams().add();
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = *greatest = 0;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  catch_up(stream);
  return found(streams().remove(stream));
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  catch_up(stream);
  return waited(is_stream(stream));
}
cudaError_t cudaStreamQuery(cudaStream_t stream) { return found(is_stream(stream)); }

// Events.

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = events().add();
  (*event)->timed = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) { return found(events().remove(event)); }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (!events().has(event) || !is_stream(stream)) return found(false);
  event->recorded = true;
  event->stream = stream;
  {
    const std::lock_guard lock(late().mutex);
    event->number = late().count;
  }
  event->time = std::chrono::steady_clock::now();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  catch_up_to(event);
  return waited(events().has(event));
}
cudaError_t cudaEventQuery(cudaEvent_t event) { return found(events().has(event)); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  for (const cudaEvent_t event : {start, end}) {
    if (!events().has(event) || !event->timed || !event->recorded) return found(false);
  }
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  catch_up_to(event);
  return found(is_stream(stream) && events().has(event));
}
