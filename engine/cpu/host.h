#pragma once

#include <memory>

#include "engine/runtime/context.h"
#include "engine/runtime/thread_pool.h"

namespace tessera::cpu {

/// The CPU as a backend: memory of the host and the threads on which kernels run.
class Host final : public Backend {
 public:
  Host();

  [[nodiscard]] Device device() const override { return Device::cpu(); }
  [[nodiscard]] const KernelTable& kernels() const override { return default_cpu_kernel_table(); }
  [[nodiscard]] CachingPool& pool() override { return pool_; }
  void upload(void* to, const void* host, size_t bytes) override;
  void download(void* host, const void* from, size_t bytes) override;
  void zero(void* block, size_t bytes) override;
  void synchronize() override {}
  [[nodiscard]] CachingPool& pinned() override { return pool_; }
  [[nodiscard]] Ticket upload_beside(void* to, const void* pinned, size_t bytes, const Ticket& after) override;
  [[nodiscard]] Ticket mark() override { return {}; }
  void wait_for(const Ticket& /*ticket*/) override {}
  void finish(const Ticket& /*ticket*/) override {}
  [[nodiscard]] std::string description() const override;
  [[nodiscard]] double peak_flops(DType compute) const override;

  [[nodiscard]] ThreadPool& threads() { return *threads_; }
  void set_threads(int threads) { threads_ = std::make_unique<ThreadPool>(threads); }

 private:
  CachingPool pool_;
  std::unique_ptr<ThreadPool> threads_;
};

/// The host behind a context of the CPU.
[[nodiscard]] inline Host& host(Context& context) { return static_cast<Host&>(context.backend()); }
/// The threads on which kernels of a context of the CPU run.
[[nodiscard]] inline ThreadPool& threads(Context& context) { return host(context).threads(); }

/// Splits [0, count) into fixed blocks of `grain` and calls body(begin, end, thread) for each. The blocks depend on
/// count and grain alone, so results do not depend on the number of threads.
template <class Body>
void parallel_for(Context& context, int64_t count, int64_t grain, Body&& body) {
  if (count <= 0) return;
  const int64_t blocks = (count + grain - 1) / grain;
  auto task = [&](int64_t block, int thread) {
    const int64_t begin = block * grain;
    body(begin, begin + grain < count ? begin + grain : count, thread);
  };
  if (blocks == 1) {
    task(0, 0);
  } else {
    threads(context).run(blocks, task);
  }
}

}  // namespace tessera::cpu
