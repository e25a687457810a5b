#include "engine/runtime/thread_pool.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/thread.h"

namespace tessera {
namespace {

constexpr int kSpins = 20000;  // a few tens of microseconds, the gap between two kernels of a layer

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

}  // namespace

struct ThreadPool::State {
  std::atomic<uint64_t> generation{0};
  std::atomic<int64_t> next{0};
  std::atomic<int> running{0};
  std::atomic<bool> stop{false};
  int64_t count = 0;
  const FunctionRef<void(int64_t, int)>* task = nullptr;
  std::mutex mutex;
  std::condition_variable wake;
  std::exception_ptr error;
  std::vector<std::jthread> workers;

  /// Ends the workers, also those of a pool whose last ones could not be started.
  ~State() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
    }
    wake.notify_all();
    for (std::jthread& worker : workers) worker.join();
  }

  void work(int thread) {
    try {
      for (int64_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) (*task)(i, thread);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
      next.store(count);
    }
  }

  void loop(int thread) {
    uint64_t seen = 0;
    for (;;) {
      for (int spin = 0; spin < kSpins && generation.load(std::memory_order_acquire) == seen && !stop; ++spin) relax();
      if (generation.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return generation.load(std::memory_order_acquire) != seen || stop; });
      }
      if (stop) return;
      seen = generation.load(std::memory_order_acquire);
      work(thread);
      running.fetch_sub(1, std::memory_order_acq_rel);
    }
  }
};

int ThreadPool::default_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int processors = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0) processors = std::max(1, CPU_COUNT(&set));
  if (const char* text = std::getenv("TESSERA_THREADS"); text != nullptr && *text != '\0') {
    int wanted = 0;
    const char* last = text + std::strlen(text);
    if (auto [end, code] = std::from_chars(text, last, wanted); code != std::errc() || end != last || wanted < 1) {
      throw ConfigError(fmt::format("TESSERA_THREADS: expected a number of 1 or more, found \"{}\"", text));
    }
    return std::min(wanted, processors);
  }
  return processors;
}

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  const int n = threads > 0 ? threads : default_threads();
  for (int t = 1; t < n; ++t) {
    state_->workers.push_back(
        start_thread(fmt::format("number {} of {} that compute (TESSERA_THREADS sets fewer)", t + 1, n),
                     [state = state_.get(), t] { state->loop(t); }));
  }
}

ThreadPool::~ThreadPool() = default;

int ThreadPool::threads() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::run(int64_t count, FunctionRef<void(int64_t, int)> task) {
  State& s = *state_;
  if (count <= 0) return;
  if (s.workers.empty() || count == 1) {
    for (int64_t i = 0; i < count; ++i) task(i, 0);
    return;
  }
  s.task = &task;
  s.count = count;
  s.next.store(0);
  s.running.store(static_cast<int>(s.workers.size()), std::memory_order_release);
  {
    const std::lock_guard lock(s.mutex);
    s.error = nullptr;
    s.generation.fetch_add(1, std::memory_order_acq_rel);
  }
  s.wake.notify_all();
  s.work(0);
  for (int spin = 0; s.running.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin < kSpins) {
      relax();
    } else {
      std::this_thread::yield();
    }
  }
  if (s.error) std::rethrow_exception(s.error);
}

}  // namespace tessera
