#include "engine/cuda/device.h"

#include <fmt/format.h>

#include <cstdlib>
#include <cstring>

#include "engine/core/error.h"
#include "engine/cuda/tables.h"

namespace tessera::cuda {
namespace {

/// Memory of a GPU. Everything that uses it is queued on `stream`.
class DeviceMemory final : public MemorySource {
 public:
  DeviceMemory(int index, cudaStream_t stream) : index_(index), stream_(stream) {}

  void* take(size_t bytes) noexcept override {
    void* block = nullptr;
    if (set_device(index_) == cudaSuccess && cudaMalloc(&block, bytes) == cudaSuccess) return block;
    (void)cudaGetLastError();  // out of memory is an answer here; the next launch must not report it
    return nullptr;
  }
  void give_back(void* block, size_t /*bytes*/) noexcept override { (void)cudaFree(block); }
  void fill(void* block, int byte, size_t bytes) noexcept override {
    (void)cudaMemsetAsync(block, byte, bytes, stream_);
  }
  void quiesce() noexcept override { (void)cudaStreamSynchronize(stream_); }
  std::string name() const override { return to_string(Device::cuda(index_)); }

 private:
  int index_;
  cudaStream_t stream_;
};

/// Memory of the host that the device reads without the processor's help. Only copies on `stream` use it.
class PinnedMemory final : public MemorySource {
 public:
  PinnedMemory(int index, cudaStream_t stream) : index_(index), stream_(stream) {}

  void* take(size_t bytes) noexcept override {
    void* block = nullptr;
    if (set_device(index_) == cudaSuccess && cudaMallocHost(&block, bytes) == cudaSuccess) return block;
    (void)cudaGetLastError();
    return nullptr;
  }
  void give_back(void* block, size_t /*bytes*/) noexcept override { (void)cudaFreeHost(block); }
  void fill(void* block, int byte, size_t bytes) noexcept override { std::memset(block, byte, bytes); }
  void quiesce() noexcept override { (void)cudaStreamSynchronize(stream_); }
  std::string name() const override { return "pinned memory of " + to_string(Device::cuda(index_)); }

 private:
  int index_;
  cudaStream_t stream_;
};

cudaEvent_t event_of(const Ticket& ticket) { return static_cast<cudaEvent_t>(ticket.get()); }

bool sync_wanted() {
  static const bool wanted = [] {
    const char* text = std::getenv("TESSERA_SYNC");
    return text != nullptr && *text != '\0' && *text != '0';
  }();
  return wanted;
}

int attribute(cudaDeviceAttr which, int index) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, index), "cudaDeviceGetAttribute");
  return value;
}

/// Operations per clock and multiprocessor, without sparsity, from the programming guide's table of throughputs and the
/// data sheets of A100, H100 and B200 (tensor cores for bf16, ordinary cores for f32 and f64).
double flops_per_clock(int major, int minor, DType compute) {
  struct Row {
    int major;
    double bf16, f32, f64;
  };
  constexpr Row kRows[] = {{12, 1024, 256, 4}, {10, 8192, 256, 128}, {9, 4096, 256, 128}, {8, 2048, 128, 64}};
  Row row = kRows[3];
  for (const Row& r : kRows) {
    if (major >= r.major) {
      row = r;
      break;
    }
  }
  if (major == 8 && minor != 0) row = {8, 1024, 256, 4};  // the smaller chips of the family
  return compute == DType::bf16 ? row.bf16 : compute == DType::f64 ? row.f64 : row.f32;
}

}  // namespace

void check(cudaError_t status, const char* call) {
  if (status != cudaSuccess) throw DeviceError(fmt::format("{}: {}", call, cudaGetErrorString(status)));
}

cudaError_t set_device(int index) noexcept {
  thread_local int current = -1;
  if (current == index) return cudaSuccess;
  const cudaError_t status = cudaSetDevice(index);
  if (status == cudaSuccess) current = index;
  return status;
}

void launched(const char* kernel, cudaStream_t stream) {
  check(cudaGetLastError(), kernel);
  if (sync_wanted()) check(cudaStreamSynchronize(stream), kernel);
}

cudaStream_t stream_of(Context& context) { return static_cast<CudaBackend&>(context.backend()).stream(); }
Products& products_of(Context& context) { return static_cast<CudaBackend&>(context.backend()).products(); }

CudaBackend::CudaBackend(int index) : index_(index) {
  check(set_device(index), "cudaSetDevice");
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  check(cudaStreamCreateWithFlags(&copy_stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  pool_ = std::make_unique<CachingPool>(std::make_unique<DeviceMemory>(index, stream_));
  pinned_ = std::make_unique<CachingPool>(std::make_unique<PinnedMemory>(index, copy_stream_));
}

CudaBackend::~CudaBackend() {
  pinned_.reset();
  pool_.reset();
  (void)cudaStreamDestroy(copy_stream_);
  (void)cudaStreamDestroy(stream_);
}

const KernelTable& CudaBackend::kernels() const { return kernel_table(); }

void CudaBackend::upload(void* to, const void* host, size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, stream()), "cudaMemcpyAsync");
}

void CudaBackend::download(void* host, const void* from, size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream()), "cudaMemcpyAsync");
  synchronize();
}

void CudaBackend::zero(void* block, size_t bytes) {
  if (bytes > 0) check(cudaMemsetAsync(block, 0, bytes, stream()), "cudaMemsetAsync");
}

void CudaBackend::synchronize() { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

Ticket CudaBackend::upload_beside(void* to, const void* pinned, size_t bytes, const Ticket& after) {
  check(set_device(index_), "cudaSetDevice");
  let_wait(copy_stream_, after);
  if (bytes > 0) {
    check(cudaMemcpyAsync(to, pinned, bytes, cudaMemcpyHostToDevice, copy_stream_), "cudaMemcpyAsync");
  }
  return record(copy_stream_);
}

void CudaBackend::finish(const Ticket& ticket) {
  if (ticket) check(cudaEventSynchronize(event_of(ticket)), "cudaEventSynchronize");
}

Ticket CudaBackend::record(cudaStream_t stream) const {
  cudaEvent_t event = nullptr;
  // A host thread that waits for it sleeps.
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync), "cudaEventCreateWithFlags");
  Ticket ticket(event, [](void* owned) { (void)cudaEventDestroy(static_cast<cudaEvent_t>(owned)); });
  check(cudaEventRecord(event, stream), "cudaEventRecord");
  return ticket;
}

void CudaBackend::let_wait(cudaStream_t stream, const Ticket& ticket) {
  if (ticket) check(cudaStreamWaitEvent(stream, event_of(ticket), 0), "cudaStreamWaitEvent");
}

std::string CudaBackend::description() const {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index_), "cudaGetDeviceProperties");
  return fmt::format("{}, {:.0f} GiB", properties.name, static_cast<double>(memory_bytes()) / 0x1p30);
}

double CudaBackend::peak_flops(DType compute) const {
  const int major = attribute(cudaDevAttrComputeCapabilityMajor, index_);
  const int minor = attribute(cudaDevAttrComputeCapabilityMinor, index_);
  const double clock = 1e3 * attribute(cudaDevAttrClockRate, index_);  // kHz
  return flops_per_clock(major, minor, compute) * clock * attribute(cudaDevAttrMultiProcessorCount, index_);
}

size_t CudaBackend::memory_bytes() const {
  size_t available = 0, total = 0;
  check(set_device(index_), "cudaSetDevice");
  check(cudaMemGetInfo(&available, &total), "cudaMemGetInfo");
  return total;
}

}  // namespace tessera::cuda
