#include "tests/emulation/emulator.h"

#include <cstdlib>
#include <string_view>

#include "tests/emulation/processor.h"

namespace tessera::emulation {

namespace {

Config from_environment() {
  Config result;
  const char* const order = std::getenv("TESSERA_EMULATOR_ORDER");
  const char* const seed = std::getenv("TESSERA_EMULATOR_SEED");
  const std::string_view name = order != nullptr ? order : "forward";
  if (name == "reverse") {
    result.order = Order::reverse;
  } else if (name == "random") {
    result.order = Order::random;
  } else if (name != "forward") {
    throw ConfigError("TESSERA_EMULATOR_ORDER is " + std::string(name) + ", expected forward, reverse or random");
  }
  if (seed != nullptr) result.seed = std::strtoull(seed, nullptr, 10);
  return result;
}

bool unaligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 != 0; }

}  // namespace

Config& config() {
  static Config result = from_environment();
  return result;
}
const Statistics& statistics() { return Processor::here().statistics(); }

void run(const Launch& launch) { Processor::here().run(launch); }

unsigned barrier(bool predicate, Site site) {
  Processor& processor = Processor::here();
  processor.wait_at_barrier(predicate, site);
  return processor.votes();
}
bool barrier_all(bool predicate, Site site) {
  Processor& processor = Processor::here();
  processor.wait_at_barrier(predicate, site);
  return processor.votes() == processor.voters();
}
void meet(unsigned mask, Together together, void* operands, Site site) {
  Processor::here().meet(mask, together, operands, site);
}
void meet_in_order(unsigned mask, Site site) { Processor::here().meet_in_order(mask, site); }

void shuffle(unsigned mask, void* const* operands) {
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    auto& mine = *static_cast<Shuffle*>(operands[__builtin_ctz(rest)]);
    mine.result = static_cast<const Shuffle*>(operands[mine.source])->value;
  }
}
void vote(unsigned mask, void* const* operands) {
  unsigned ballot = 0;
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = __builtin_ctz(rest);
    ballot |= static_cast<unsigned>(static_cast<const Vote*>(operands[lane])->predicate) << lane;
  }
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    static_cast<Vote*>(operands[__builtin_ctz(rest)])->ballot = ballot;
  }
}

void* static_shared(SharedSite& site, size_t bytes, size_t alignment) {
  return Processor::here().static_shared(site, bytes, alignment);
}
void* dynamic_shared() { return Processor::here().shared().dynamic_area(); }
bool is_shared(const void* p, size_t bytes) { return Processor::here().shared().holds(p, bytes); }

void copy_later(void* to, const void* from, bool valid, Site site) {
  Processor& processor = Processor::here();
  if (unaligned(to) || unaligned(from)) processor.fail("cp.async: an address that is not aligned to 16 bytes", site);
  if (!is_shared(to, 16)) processor.fail("cp.async: copies to an address outside shared memory", site);
  if (is_shared(from, 1)) processor.fail("cp.async: copies from shared memory", site);
  Thread& thread = processor.running();
  const AsyncCopy copy{to, valid ? from : nullptr, thread.copy_group};
  if (thread.copies.size() < thread.copies.capacity()) {
    thread.copies.push_back(copy);
    return;
  }
  [[maybe_unused]] const Unobserved quiet;
  thread.copies.push_back(copy);
}
void close_copy_group() { ++Processor::here().running().copy_group; }

std::span<const AsyncCopy> take_copies(int pending) {
  Thread& thread = Processor::here().running();
  [[maybe_unused]] const Unobserved quiet;
  // Groups ascend, so what has landed is a prefix.
  size_t landed = 0;
  while (landed < thread.copies.size() && thread.copies[landed].group < thread.copy_group - pending) ++landed;
  const auto end = thread.copies.begin() + static_cast<std::ptrdiff_t>(landed);
  thread.taken.assign(thread.copies.begin(), end);
  thread.copies.erase(thread.copies.begin(), end);
  return thread.taken;
}

void fence() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  Processor::here().running().fenced = true;
}
bool is_fenced() { return Processor::here().running().fenced; }

void fail(const std::string& what, Site site) { Processor::here().fail(what, site); }

}  // namespace tessera::emulation
