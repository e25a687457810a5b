// Errors, streams and events. Work is done when it is queued; handles are checked all the same.
#include <cuda_runtime_api.h>

#include <chrono>
#include <mutex>
#include <set>

#include "tests/emulation/runtime.h"

// What a handle points to.
struct CUstream_st {};
struct CUevent_st {
  bool timed = true, recorded = false;
  std::chrono::steady_clock::time_point time;
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

}  // namespace

cudaError_t noted(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

}  // namespace tessera::emulation

using tessera::emulation::events;
using tessera::emulation::found;
using tessera::emulation::is_stream;
using tessera::emulation::noted;
using tessera::emulation::streams;

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
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return found(streams().remove(stream)); }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return found(is_stream(stream)); }
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
  event->time = std::chrono::steady_clock::now();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) { return found(events().has(event)); }
cudaError_t cudaEventQuery(cudaEvent_t event) { return found(events().has(event)); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  for (const cudaEvent_t event : {start, end}) {
    if (!events().has(event) || !event->timed || !event->recorded) return found(false);
  }
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return found(is_stream(stream) && events().has(event));
}
