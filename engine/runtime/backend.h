#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "engine/core/device.h"
#include "engine/core/dtype.h"
#include "engine/memory/pool.h"

namespace tessera {

struct KernelTable;  // see engine/ops/kernels.h

/// A point in the work of a device, from Backend::mark or upload_beside. An empty one has passed.
using Ticket = std::shared_ptr<void>;

/// What one device offers below the ops: memory, transfers, kernels. Work on a device runs in the order in which it was
/// queued; on the CPU a call returns when it is done. Transfers and kernels throw DeviceError when the device fails.
class Backend {
 public:
  virtual ~Backend() = default;

  [[nodiscard]] virtual Device device() const = 0;
  [[nodiscard]] virtual const KernelTable& kernels() const = 0;
  [[nodiscard]] virtual CachingPool& pool() = 0;

  /// Copies ordinary memory of the host to the device. It may be reused when the call returns.
  virtual void upload(void* to, const void* host, size_t bytes) = 0;
  /// Copies to host memory what the work queued so far leaves in `from`, and waits for it.
  virtual void download(void* host, const void* from, size_t bytes) = 0;
  /// Sets every byte to zero.
  virtual void zero(void* block, size_t bytes) = 0;
  /// Waits for all queued work.
  virtual void synchronize() = 0;

  /// The hardware in a few words, for logs: "avx2, 2 threads", "NVIDIA H100 80GB HBM3".
  [[nodiscard]] virtual std::string description() const = 0;
  /// The most operations per second in products of this type (a multiply-add counts as two).
  [[nodiscard]] virtual double peak_flops(DType compute) const = 0;
  /// Bytes of memory that the device has; 0 where the operating system decides.
  [[nodiscard]] virtual size_t memory_bytes() const { return 0; }

  // Copies that run beside the kernels, for the feed of a training run. They may be started by another thread than the
  // one that computes. On the CPU a copy is done when the call returns, and every ticket is empty.

  /// Host memory from which such copies read; on the CPU the ordinary pool.
  [[nodiscard]] virtual CachingPool& pinned() = 0;
  /// Starts to copy `pinned` memory to the device once `after` has passed. Until the ticket has passed, the host must
  /// not write to `pinned`, and neither block may be freed: its pool would hand it to work that knows no ticket.
  [[nodiscard]] virtual Ticket upload_beside(void* to, const void* pinned, size_t bytes, const Ticket& after) = 0;
  /// The point that passes when everything queued so far is done; such copies are not part of it.
  [[nodiscard]] virtual Ticket mark() = 0;
  /// Work that is queued from now on begins after the ticket has passed. Does not wait.
  virtual void wait_for(const Ticket& ticket) = 0;
  /// Waits until the ticket has passed.
  virtual void finish(const Ticket& ticket) = 0;
};

/// The backend of a device; engine/cpu defines that of the CPU, and a plugin brings that of a GPU. Throws DeviceError
/// with the reason in one sentence when the device is not available.
[[nodiscard]] std::unique_ptr<Backend> open_backend(Device device);
[[nodiscard]] std::unique_ptr<Backend> open_cpu_backend();
/// Whether a plugin for GPUs lies beside the engine or is named by TESSERA_CUDA_LIBRARY. It may not work.
[[nodiscard]] bool has_gpu_backend();

}  // namespace tessera
