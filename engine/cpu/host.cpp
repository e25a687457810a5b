#include "engine/cpu/host.h"

#include <fmt/format.h>

#include <cstring>

#include "engine/cpu/peak.h"
#include "engine/ops/kernels.h"

namespace tessera {

std::unique_ptr<Backend> open_cpu_backend() { return std::make_unique<cpu::Host>(); }

namespace cpu {

Host::Host() : pool_(host_memory()), threads_(std::make_unique<ThreadPool>()) {}

void Host::upload(void* to, const void* host, size_t bytes) {
  if (bytes > 0) std::memcpy(to, host, bytes);
}
void Host::download(void* host, const void* from, size_t bytes) {
  if (bytes > 0) std::memcpy(host, from, bytes);
}
Ticket Host::upload_beside(void* to, const void* pinned, size_t bytes, const Ticket& /*after*/) {
  upload(to, pinned, bytes);
  return {};
}
void Host::zero(void* block, size_t bytes) {
  if (bytes > 0) std::memset(block, 0, bytes);
}

std::string Host::description() const { return fmt::format("{}, {} threads", kernels().name, threads_->threads()); }

double Host::peak_flops(DType compute) const {
  const auto isa = kernels().name;
  return (compute == DType::bf16 ? bf16_peak(isa) : fma_peak(isa)) * threads_->threads();
}

}  // namespace cpu
}  // namespace tessera
