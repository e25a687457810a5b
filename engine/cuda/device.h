#pragma once

#include <cuda_runtime.h>

#include "engine/cuda/products.h"
#include "engine/cuda/stream.h"
#include "engine/runtime/context.h"

namespace tessera::cuda {

/// Throws DeviceError unless the status is success: "CALL: the reason".
void check(cudaError_t status, const char* call);
/// Makes a device this thread's current one, on which calls of the runtime act. Each host thread has one of its own.
cudaError_t set_device(int index) noexcept;

/// One GPU as a backend. Kernels and transfers are queued on one stream, copies beside them on another. A ticket is an
/// event.
class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(int index);
  ~CudaBackend() override;
  CudaBackend(const CudaBackend&) = delete;
  CudaBackend& operator=(const CudaBackend&) = delete;

  [[nodiscard]] Device device() const override { return Device::cuda(index_); }
  [[nodiscard]] const KernelTable& kernels() const override;
  [[nodiscard]] CachingPool& pool() override { return *pool_; }
  void upload(void* to, const void* host, size_t bytes) override;
  void download(void* host, const void* from, size_t bytes) override;
  void zero(void* block, size_t bytes) override;
  void synchronize() override;
  [[nodiscard]] CachingPool& pinned() override { return *pinned_; }
  [[nodiscard]] Ticket upload_beside(void* to, const void* pinned, size_t bytes, const Ticket& after) override;
  [[nodiscard]] Ticket mark() override { return record(stream()); }
  void wait_for(const Ticket& ticket) override { let_wait(stream_, ticket); }
  void finish(const Ticket& ticket) override;
  [[nodiscard]] std::string description() const override;
  [[nodiscard]] double peak_flops(DType compute) const override;
  [[nodiscard]] size_t memory_bytes() const override;

  /// The stream of kernels and transfers, whose device is the thread's current one from then on.
  [[nodiscard]] cudaStream_t stream() const {
    check(set_device(index_), "cudaSetDevice");
    return stream_;
  }
  [[nodiscard]] Products& products() { return products_; }

 private:
  [[nodiscard]] Ticket record(cudaStream_t stream) const;
  static void let_wait(cudaStream_t stream, const Ticket& ticket);

  int index_;
  cudaStream_t stream_ = nullptr;
  std::unique_ptr<CachingPool> pool_;
  Products products_;
  cudaStream_t copy_stream_ = nullptr;
  std::unique_ptr<CachingPool> pinned_;
};

}  // namespace tessera::cuda
