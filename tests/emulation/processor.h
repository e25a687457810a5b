#pragma once

// Runs the blocks of a launch one after the other, and the threads of a block as fibers.
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "tests/emulation/emulator.h"
#include "tests/emulation/fiber.h"
#include "tests/emulation/shared_memory.h"

namespace tessera::emulation {

inline constexpr unsigned kLanes = 32;
inline constexpr unsigned kMostThreads = 1024;
inline constexpr unsigned kMostWarps = kMostThreads / kLanes;

struct Thread : ThreadPlace {
  Fiber* fiber = nullptr;  ///< null before it begins and after it has ended
  Site site;               ///< where it waits
  std::vector<AsyncCopy> copies, taken;
  int64_t copy_group = 0;
  bool fenced = false;
};

/// Lanes that are to do an operation together.
struct Meeting {
  unsigned mask = 0, arrived = 0;
  Site site;
};

struct Warp {
  unsigned alive = 0;
  unsigned ready = 0;       ///< lanes that may run
  unsigned at_barrier = 0;  ///< lanes that wait for the block
  unsigned open = 0;        ///< meetings that are not complete; their masks are disjoint
  std::array<Meeting, kLanes> meetings;
  std::array<void*, kLanes> operands{};
  std::array<unsigned, kLanes> syncs{};  ///< meetings in order, by the lowest lane of their masks
};

/// What ThreadSanitizer knows the barriers of a block by. Two in turns for each: who runs ahead to the next barrier
/// must not seem to be ordered before who is about to leave this one.
struct OrderKeys {
  uint64_t block[2];
  uint64_t warp[kMostWarps][kLanes][2];
};

class Processor {
 public:
  /// That of the calling host thread.
  static Processor& here();
  Processor() = default;
  Processor(const Processor&) = delete;
  Processor& operator=(const Processor&) = delete;

  void run(const Launch& launch);

  // Called by kernels.
  void wait_at_barrier(bool predicate, Site site);
  [[nodiscard]] unsigned votes() const { return votes_; }
  [[nodiscard]] unsigned voters() const { return voters_; }
  void meet(unsigned mask, Together together, void* operands, Site site);
  void meet_in_order(unsigned mask, Site site);
  void* static_shared(SharedSite& site, size_t bytes, size_t alignment);
  [[noreturn]] void fail(const std::string& what, Site site);
  Thread& running() { return *running_; }
  SharedMemory& shared() { return shared_; }
  [[nodiscard]] const Statistics& statistics() const { return statistics_; }

 private:
  void check(const Launch& launch) const;
  void begin_launch(const Launch& launch);
  void choose_block_order();
  void begin_block(uint64_t number);
  void end_block();
  void give_up();

  static void begin_fiber();
  void run_fiber();
  void leave(Thread& thread);

  Thread* choose();
  unsigned any_of(unsigned mask);
  unsigned random();
  void go_on(bool exited);
  Fiber* fiber_for(const Thread& thread, bool exited);
  Fiber* new_fiber();

  void open_barrier();
  Meeting& meeting_of(Warp& warp, unsigned mask, Site site);
  void set_error(const std::string& message);
  [[noreturn]] void fail_with(const std::string& message);
  [[noreturn]] void fail_in_deadlock();
  [[nodiscard]] std::string name_of(const Thread& thread) const;

  // The block.
  std::vector<Thread> threads_;
  std::array<Warp, kMostWarps> warps_;
  unsigned ready_warps_ = 0;
  unsigned alive_ = 0;
  unsigned arrived_ = 0;  ///< at the barrier
  Site barrier_site_;
  unsigned predicates_ = 0;          ///< that were true, of those who have arrived
  unsigned votes_ = 0, voters_ = 0;  ///< of the last barrier
  unsigned barriers_ = 0;
  SharedMemory shared_;

  // Who runs.
  Thread* running_ = nullptr;
  Fiber* on_ = nullptr;
  Fiber host_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> free_;
  size_t stack_bytes_ = 0;

  // The launch.
  const Launch* launch_ = nullptr;
  Order order_ = Order::forward;
  uint64_t random_ = 1;
  std::vector<uint64_t> block_order_;
  uint64_t blocks_ = 0, block_number_ = 0;
  unsigned warp_count_ = 0;
  size_t shared_most_ = 0;  ///< static and dynamic
  std::string error_;
  Statistics statistics_;

  // Only for ThreadSanitizer.
  std::unique_ptr<OrderKeys> keys_;
  uint64_t launch_key_ = 0, end_key_ = 0;
};

}  // namespace tessera::emulation
