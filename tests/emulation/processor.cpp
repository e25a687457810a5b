#include "tests/emulation/processor.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <exception>
#include <utility>

#include "tests/emulation/runtime.h"

namespace tessera::emulation {

namespace {

constexpr unsigned kMostGridYZ = 65535;
constexpr unsigned kMostGridX = 0x7fffffff;
constexpr unsigned kMostBlockZ = 64;

uint64_t threads_of(dim3 block) { return uint64_t{block.x} * block.y * block.z; }
/// How many sets of stacks take turns under ThreadSanitizer, which takes a few thousand stacks in all.
uint64_t sets_of(uint64_t threads) { return std::max<uint64_t>(2, 128 / threads); }

/// Unwinds the stack of a thread that failed. The message is in Processor::error_.
struct Failed {};

bool same(Site a, Site b) {
  if (std::memcmp(&a, &b, sizeof(Site)) == 0) return true;
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}
std::string text_of(Site site) {
  const std::string file = site.file_name();
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(site.line());
}
std::string text_of(uint3 v) {
  return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")";
}
/// The name as GPU_LAUNCH has it, without the parentheses around a template's.
std::string kernel_name(const char* name) {
  std::string result = name;
  if (result.starts_with('(') && result.ends_with(')')) result = result.substr(1, result.size() - 2);
  return result;
}

}  // namespace

constinit thread_local const ThreadPlace* this_thread = nullptr;
constinit thread_local BlockPlace this_block{};

Processor& Processor::here() {
  static constinit thread_local Processor* known = nullptr;  // needs no guard
  if (known == nullptr) [[unlikely]] {
    static thread_local const std::unique_ptr<Processor> owner = std::make_unique<Processor>();
    known = owner.get();
  }
  return *known;
}

// Launches.

void Processor::check(const Launch& launch) const {
  const auto refuse = [&](const std::string& why) {
    throw KernelError("kernel " + kernel_name(launch.name) + ": launch refused: " + why);
  };
  if (running_ != nullptr) refuse("from inside a kernel");
  const dim3 g = launch.grid, b = launch.block;
  if (g.x == 0 || g.y == 0 || g.z == 0 || g.x > kMostGridX || g.y > kMostGridYZ || g.z > kMostGridYZ) {
    refuse("grid " + text_of(g) + ", expected 1 to 2147483647 in x and 1 to 65535 in y and z");
  }
  const uint64_t threads = threads_of(b);
  if (threads == 0 || threads > kMostThreads || b.x > kMostThreads || b.y > kMostThreads || b.z > kMostBlockZ) {
    refuse("block " + text_of(b) + ", expected 1 to 1024 threads and at most 64 in z");
  }
  const size_t most = requested_shared(launch.kernel).value_or(kSharedWithoutAsking);
  if (launch.shared_bytes > most) {
    refuse(std::to_string(launch.shared_bytes) + " bytes of dynamic shared memory, expected at most " +
           std::to_string(most) + (most == kSharedWithoutAsking ? " without cudaFuncSetAttribute" : ""));
  }
}

void Processor::run(const Launch& launch) {
  check(launch);
  begin_launch(launch);
  for (uint64_t i = 0; i < blocks_ && error_.empty(); ++i) {
    block_number_ = i;
    begin_block(block_order_.empty() ? i : block_order_[i]);
    go_on(false);
    if (error_.empty()) end_block();
  }
  if (!error_.empty()) give_up();
  running_ = nullptr;
  this_thread = nullptr;
  if (error_.empty()) return;
  throw KernelError(std::exchange(error_, {}));
}

void Processor::begin_launch(const Launch& launch) {
  launch_ = &launch;
  order_ = config().order;
  random_ = config().seed * 0x9e3779b97f4a7c15ull + 1;
  on_ = &host_;
  host_.become_host();
  this_block.grid = launch.grid;
  this_block.block = launch.block;
  const dim3 g = launch.grid, b = launch.block;
  blocks_ = uint64_t{g.x} * g.y * g.z;
  shared_most_ = requested_shared(launch.kernel) ? kSharedMost : kSharedWithoutAsking;
  choose_block_order();

  const unsigned count = b.x * b.y * b.z;
  warp_count_ = (count + kLanes - 1) / kLanes;
  if (threads_.size() < count) threads_.resize(count);
  for (unsigned i = 0; i < count; ++i) {
    static_cast<ThreadPlace&>(threads_[i]) = {{i % b.x, i / b.x % b.y, i / b.x / b.y}, i % kLanes, i / kLanes};
  }
  for (unsigned w = 0; w < warp_count_; ++w) {
    const unsigned lanes = std::min(kLanes, count - w * kLanes);
    warps_[w].alive = lanes == kLanes ? ~0u : (1u << lanes) - 1;
  }
  if (stack_bytes_ != config().stack_bytes) {
    fibers_.clear();
    free_.clear();
    stack_bytes_ = config().stack_bytes;
  }
  // Each CUDA thread has an identity of its own, made by the host before any of them runs.
  while (kRaces && fibers_.size() < count * sets_of(count)) new_fiber();
  release(&launch_key_);
}

void Processor::choose_block_order() {
  block_order_.clear();
  if (order_ == Order::forward) return;
  block_order_.resize(blocks_);
  for (uint64_t i = 0; i < blocks_; ++i) block_order_[i] = order_ == Order::reverse ? blocks_ - 1 - i : i;
  if (order_ == Order::reverse) return;
  for (uint64_t i = blocks_; i > 1; --i) std::swap(block_order_[i - 1], block_order_[random() % i]);
}

void Processor::begin_block(uint64_t number) {
  const dim3 g = launch_->grid, b = launch_->block;
  this_block.index = {static_cast<unsigned>(number % g.x), static_cast<unsigned>(number / g.x % g.y),
                      static_cast<unsigned>(number / g.x / g.y)};
  alive_ = b.x * b.y * b.z;
  for (unsigned i = 0; i < alive_; ++i) {
    Thread& thread = threads_[i];
    thread.fiber = nullptr;
    thread.copies.clear();
    thread.copy_group = 0;
    thread.fenced = false;
  }
  for (unsigned w = 0; w < warp_count_; ++w) {
    Warp& warp = warps_[w];
    const unsigned lanes = std::min(kLanes, alive_ - w * kLanes);
    warp.alive = warp.ready = lanes == kLanes ? ~0u : (1u << lanes) - 1;
    warp.at_barrier = warp.open = 0;
    if (kRaces) warp.syncs.fill(0);
  }
  ready_warps_ = warp_count_ == kMostWarps ? ~0u : (1u << warp_count_) - 1;
  arrived_ = predicates_ = barriers_ = 0;
  shared_.begin_block(launch_->shared_bytes);
  if (kRaces) keys_ = std::make_unique<OrderKeys>();
}

void Processor::end_block() {
  acquire(&end_key_);
  const std::string overrun = shared_.end_block();
  if (overrun.empty()) return;
  set_error("writes beyond its shared memory " + overrun + ", block " + text_of(this_block.index));
}

/// After an error: the threads that wait are unwound, as the one that failed already is.
void Processor::give_up() {
  for (unsigned i = 0; i < warp_count_ * kLanes && i < threads_.size(); ++i) {
    Thread& thread = threads_[i];
    if (thread.fiber == nullptr) continue;
    running_ = &thread;
    this_thread = &thread;
    on_ = thread.fiber;
    Fiber::switch_stacks(host_, *on_);
  }
  acquire(&end_key_);
  shared_.abandon_block();
  free_.clear();
  for (const auto& fiber : fibers_) free_.push_back(fiber.get());
}

// Fibers.

Fiber* Processor::new_fiber() {
  [[maybe_unused]] const Unobserved quiet;
  fibers_.push_back(std::make_unique<Fiber>(stack_bytes_, static_cast<unsigned>(fibers_.size()), &begin_fiber));
  return fibers_.back().get();
}

/// A stack for a thread that begins. That of a thread that has just ended is at hand. Under ThreadSanitizer each thread
/// of a block has its own. Blocks have several sets in turns: what a barrier told a stack in one block would otherwise
/// hide its races with the next. Blocks that share a set shift it.
Fiber* Processor::fiber_for(const Thread& thread, bool exited) {
  if (kRaces) {
    const uint64_t count = threads_of(launch_->block);
    const uint64_t set = block_number_ % sets_of(count);
    const uint64_t shift = block_number_ / sets_of(count) * (kLanes + 1);
    return fibers_[set * count + (thread.warp * kLanes + thread.lane + shift) % count].get();
  }
  if (exited) return on_;
  if (free_.empty()) return new_fiber();
  Fiber* const fiber = free_.back();
  free_.pop_back();
  return fiber;
}

void Processor::begin_fiber() {
  Fiber::arrive();
  here().run_fiber();
}
void Processor::run_fiber() {
  for (;;) {
    acquire(&launch_key_);
    try {
      launch_->call(launch_->body);
      leave(*running_);
      release(&end_key_);
      go_on(true);
      continue;
    } catch (const Failed&) {
      // The message is there.
    } catch (const std::exception& e) {
      set_error(std::string("threw \"") + e.what() + "\", " + name_of(*running_));
    }
    // Back to the host, which throws.
    running_->fiber = nullptr;
    release(&end_key_);
    Fiber* const from = std::exchange(on_, &host_);
    Fiber::switch_stacks(*from, host_);
  }
}

void Processor::leave(Thread& thread) {
  ++statistics_.threads;
  Warp& warp = warps_[thread.warp];
  const unsigned bit = 1u << thread.lane;
  warp.alive &= ~bit;
  --alive_;
  thread.fiber = nullptr;
  for (unsigned i = 0; i < warp.open; ++i) {
    const Meeting& meeting = warp.meetings[i];
    if ((meeting.mask & bit) != 0) {
      fail_with("a lane that others wait for at " + text_of(meeting.site) + " has exited, " + name_of(thread));
    }
  }
  if (alive_ > 0 && arrived_ == alive_) open_barrier();  // threads that have exited do not count
}

// Who runs next.

unsigned Processor::random() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return static_cast<unsigned>(random_ >> 16);
}

/// A random bit of the mask.
unsigned Processor::any_of(unsigned mask) {
  const auto turn = static_cast<int>(random() % kLanes);
  return static_cast<unsigned>(std::countr_zero(std::rotr(mask, turn)) + turn) % kLanes;
}

Thread* Processor::choose() {
  if (ready_warps_ == 0) return nullptr;
  unsigned w = 0;
  unsigned lane = 0;
  if (order_ == Order::forward) {
    w = static_cast<unsigned>(std::countr_zero(ready_warps_));
    lane = static_cast<unsigned>(std::countr_zero(warps_[w].ready));
  } else if (order_ == Order::reverse) {
    w = kLanes - 1 - static_cast<unsigned>(std::countl_zero(ready_warps_));
    lane = kLanes - 1 - static_cast<unsigned>(std::countl_zero(warps_[w].ready));
  } else {
    // Mostly the warp that ran: some warps are then far ahead of others.
    constexpr unsigned kStays = 8;
    w = running_ != nullptr ? running_->warp : 0;
    if ((ready_warps_ >> w & 1u) == 0 || random() % kStays == 0) w = any_of(ready_warps_);
    lane = any_of(warps_[w].ready);
  }
  Warp& warp = warps_[w];
  warp.ready &= ~(1u << lane);
  if (warp.ready == 0) ready_warps_ &= ~(1u << w);
  return &threads_[w * kLanes + lane];
}

/// Runs other threads until it is the caller's turn again. `exited`: the caller's thread has ended, and the turn is
/// that of the thread which takes over the stack; `running_` says which.
void Processor::go_on(bool exited) {
  Thread* const next = choose();
  Fiber* to = &host_;
  if (next != nullptr) {
    if (next->fiber == nullptr) next->fiber = fiber_for(*next, exited);
    to = next->fiber;
    running_ = next;
    this_thread = next;
  } else if (alive_ > 0) {
    fail_in_deadlock();
  }
  if (to == on_) return;
  if (!kRaces && exited) free_.push_back(on_);
  ++statistics_.switches;
  Fiber* const from = std::exchange(on_, to);
  Fiber::switch_stacks(*from, *to);
  if (!exited && from != &host_ && !error_.empty()) [[unlikely]]
    throw Failed();
}

// Barriers and warps.

void Processor::open_barrier() {
  for (unsigned w = 0; w < warp_count_; ++w) {
    Warp& warp = warps_[w];
    if (warp.at_barrier == 0) continue;
    warp.ready |= std::exchange(warp.at_barrier, 0);
    ready_warps_ |= 1u << w;
  }
  voters_ = std::exchange(arrived_, 0);
  votes_ = std::exchange(predicates_, 0);
  ++barriers_;
  ++statistics_.barriers;
}

void Processor::wait_at_barrier(bool predicate, Site site) {
  Thread& thread = *running_;
  if (arrived_ == 0) barrier_site_ = site;
  if (!same(barrier_site_, site)) {
    fail_with("divergent __syncthreads: some threads wait at " + text_of(barrier_site_) + " and others at " +
              text_of(site) + ", " + name_of(thread));
  }
  uint64_t* const key = kRaces ? &keys_->block[barriers_ % 2] : nullptr;
  release(key);
  thread.site = site;
  warps_[thread.warp].at_barrier |= 1u << thread.lane;
  predicates_ += predicate;
  if (++arrived_ == alive_) open_barrier();
  go_on(false);
  acquire(key);
}

Meeting& Processor::meeting_of(Warp& warp, unsigned mask, Site site) {
  for (unsigned i = 0; i < warp.open; ++i) {
    Meeting& meeting = warp.meetings[i];
    if ((meeting.mask & mask) == 0) continue;
    if (meeting.mask == mask && same(meeting.site, site)) return meeting;
    fail_with("divergent warp: some lanes wait at " + text_of(meeting.site) + " and others at " + text_of(site) +
              (meeting.mask == mask ? "" : " with another mask") + ", " + name_of(*running_));
  }
  Meeting& meeting = warp.meetings[warp.open++];
  meeting = {mask, 0, site};
  return meeting;
}

void Processor::meet(unsigned mask, Together together, void* operands, Site site) {
  Thread& thread = *running_;
  Warp& warp = warps_[thread.warp];
  const unsigned bit = 1u << thread.lane;
  if ((mask & bit) == 0) fail("a lane calls an operation of a warp whose mask does not name it", site);
  if ((mask & ~warp.alive) != 0) fail("the mask names lanes that do not exist or have exited", site);
  warp.operands[thread.lane] = operands;
  thread.site = site;
  Meeting& meeting = meeting_of(warp, mask, site);
  meeting.arrived |= bit;
  if (meeting.arrived == mask) {
    if (together != nullptr) together(mask, warp.operands.data());
    if (kRaces) ++warp.syncs[static_cast<unsigned>(std::countr_zero(mask))];
    meeting = warp.meetings[--warp.open];
    warp.ready |= mask;
    ready_warps_ |= 1u << thread.warp;
    ++statistics_.meetings;
  }
  go_on(false);
}

void Processor::meet_in_order(unsigned mask, Site site) {
  uint64_t* key = nullptr;
  if (kRaces && mask != 0) {
    const auto lowest = static_cast<unsigned>(std::countr_zero(mask));
    key = &keys_->warp[running_->warp][lowest][warps_[running_->warp].syncs[lowest] % 2];
    release(key);
  }
  meet(mask, nullptr, nullptr, site);
  acquire(key);
}

void* Processor::static_shared(SharedSite& site, size_t bytes, size_t alignment) {
  void* const result = shared_.area(site, bytes, alignment);
  const size_t total = shared_.static_bytes();
  if (total > kSharedWithoutAsking) [[unlikely]] {
    fail_with(std::to_string(total) + " bytes of static shared memory, expected at most 49152, " + name_of(*running_));
  }
  if (total + launch_->shared_bytes > shared_most_) [[unlikely]] {
    fail_with(std::to_string(total) + " bytes of static and " + std::to_string(launch_->shared_bytes) +
              " bytes of dynamic shared memory, expected at most " + std::to_string(shared_most_) + " together");
  }
  return result;
}

// Errors.

std::string Processor::name_of(const Thread& thread) const {
  return "block " + text_of(this_block.index) + " thread " + text_of(thread.index);
}

void Processor::fail(const std::string& what, Site site) {
  fail_with(what + " at " + text_of(site) + ", " + name_of(*running_));
}

void Processor::set_error(const std::string& message) {
  [[maybe_unused]] const Unobserved quiet;
  error_ = "kernel " + kernel_name(launch_->name) + ": " + message;
}

void Processor::fail_with(const std::string& message) {
  set_error(message);
  throw Failed();
}

void Processor::fail_in_deadlock() {
  constexpr int kNamed = 4;
  std::string message = "deadlock: ";
  int waiting = 0;
  for (unsigned i = 0; i < warp_count_ * kLanes && i < threads_.size(); ++i) {
    const Thread& thread = threads_[i];
    const Warp& warp = warps_[thread.warp];
    if ((warp.alive >> thread.lane & 1u) == 0 || ++waiting > kNamed) continue;
    const bool block = (warp.at_barrier >> thread.lane & 1u) != 0;
    message += "thread " + text_of(thread.index) + (block ? " waits for its block at " : " waits for its warp at ") +
               text_of(thread.site) + ", ";
  }
  fail_with(message + std::to_string(waiting) + " threads wait in all, block " + text_of(this_block.index));
}

}  // namespace tessera::emulation
