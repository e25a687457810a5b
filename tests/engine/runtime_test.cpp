// Threads, contexts and the choice of kernels.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <stdexcept>

#include "engine/core/error.h"
#include "engine/cpu/host.h"
#include "engine/memory/pool.h"
#include "engine/ops/kernels.h"
#include "engine/runtime/context.h"
#include "tests/support/few_threads.h"

namespace tessera {
namespace {

/// Sets an environment variable until the scope ends; null unsets it.
class WithVariable {
 public:
  WithVariable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) previous_ = old;
    value != nullptr ? setenv(name, value, 1) : unsetenv(name);
  }
  ~WithVariable() { previous_ ? setenv(name_, previous_->c_str(), 1) : unsetenv(name_); }
  WithVariable(const WithVariable&) = delete;
  WithVariable& operator=(const WithVariable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> previous_;
};

TEST(ThreadPools, DoEachTaskOnce) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    ASSERT_EQ(pool.threads(), threads);
    for (const int64_t count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> done(static_cast<size_t>(count));
      pool.run(count, [&](int64_t i, int thread) {
        EXPECT_TRUE(thread >= 0 && thread < threads);
        ++done[static_cast<size_t>(i)];
      });
      for (const auto& d : done) ASSERT_EQ(d, 1) << threads << " threads, " << count << " tasks";
    }
  }
}

TEST(ThreadPools, RunManyTimes) {
  ThreadPool pool(3);
  std::atomic<int64_t> sum{0};
  for (int i = 0; i < 3000; ++i) pool.run(4, [&](int64_t task, int) { sum += task; });
  EXPECT_EQ(sum, 3000 * 6);
}

TEST(ThreadPools, RethrowAndStayUsable) {
  for (const int threads : {1, 2}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 20; ++round) {
      const auto fail = [&](int64_t i, int) {
        if (i == 5) throw std::runtime_error("task 5");
      };
      EXPECT_THROW(pool.run(50, fail), std::runtime_error);
      std::atomic<int> done{0};
      pool.run(50, [&](int64_t, int) { ++done; });
      ASSERT_EQ(done, 50);
    }
  }
}

TEST(ThreadPools, TakeFewerThreadsFromTheEnvironment) {
  int processors = 0;
  {
    const WithVariable none("TESSERA_THREADS", nullptr);
    processors = ThreadPool::default_threads();
  }
  for (const auto& [text, expected] :
       {std::pair{"1", 1}, std::pair{"2", std::min(2, processors)}, std::pair{"100000", processors}}) {
    const WithVariable scope("TESSERA_THREADS", text);
    EXPECT_EQ(ThreadPool::default_threads(), expected) << text;
    EXPECT_EQ(ThreadPool().threads(), expected) << text;
    EXPECT_EQ(ThreadPool(3).threads(), 3) << "an explicit number wins";
  }
  for (const char* text : {"0", "-1", "two", "2x"}) {
    const WithVariable scope("TESSERA_THREADS", text);
    try {
      (void)ThreadPool::default_threads();
      ADD_FAILURE() << text;
    } catch (const ConfigError& e) {
      EXPECT_NE(std::string(e.what()).find(text), std::string::npos) << e.what();
    }
  }
  const WithVariable none("TESSERA_THREADS", nullptr);
  EXPECT_GE(ThreadPool::default_threads(), 1);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(ThreadPools, AThreadThatCannotBeStartedIsAnError) {
  const test::FewThreads two(2);
  try {
    const ThreadPool pool(6);
    ADD_FAILURE() << "nothing thrown";
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(),
                 "cannot start a thread, number 4 of 6 that compute (TESSERA_THREADS sets fewer): Resource "
                 "temporarily unavailable");
  }
}
#endif

TEST(Contexts, SplitWorkByTheProblemAlone) {
  for (const int threads : {1, 2, 3}) {
    Context context(Device::cpu());
    cpu::host(context).set_threads(threads);
    std::vector<std::atomic<int>> ends(101);
    cpu::parallel_for(context, 100, 7, [&](int64_t begin, int64_t end, int) {
      EXPECT_EQ(begin % 7, 0);
      EXPECT_EQ(end, std::min<int64_t>(begin + 7, 100));
      ++ends[static_cast<size_t>(end)];
    });
    EXPECT_EQ(std::accumulate(ends.begin(), ends.end(), 0), 15);
    cpu::parallel_for(context, 0, 7, [](int64_t, int64_t, int) { ADD_FAILURE() << "nothing to do"; });
  }
}

TEST(Contexts, ScratchComesFromThePoolAndReturns) {
  Context context(Device::cpu());
  {
    const Scratch scratch(context, 1000);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(scratch.as<float>()) % 64, 0u);
    ASSERT_EQ(context.pool().largest_holders(1).size(), 1u);
    EXPECT_EQ(context.pool().largest_holders(1)[0].tag, "kernel scratch");
  }
  EXPECT_EQ(context.allocator().statistics().current, 0);
}

TEST(KernelTables, AreOrderedFromPortableToTheFastest) {
  const auto tables = cpu_kernel_tables();
  ASSERT_FALSE(tables.empty());
  EXPECT_EQ(tables.front()->name, "portable");
  for (const KernelTable* t : tables) EXPECT_EQ(&cpu_kernel_table(t->name), t);
  const WithVariable none("TESSERA_ISA", nullptr);
  EXPECT_EQ(&default_cpu_kernel_table(), tables.back());
}

TEST(KernelTables, AreForcedByTheEnvironment) {
  const WithVariable scope("TESSERA_ISA", "portable");
  EXPECT_EQ(default_cpu_kernel_table().name, "portable");
  EXPECT_EQ(Context(Device::cpu()).kernels().name, "portable");
  const WithVariable empty("TESSERA_ISA", "");
  EXPECT_EQ(&default_cpu_kernel_table(), cpu_kernel_tables().back());
}

TEST(KernelTables, UnknownNamesAreRefusedWithTheKnownOnes) {
  const WithVariable scope("TESSERA_ISA", "sse9");
  for (const auto& ask : {+[] { (void)default_cpu_kernel_table(); }, +[] { (void)cpu_kernel_table("sse9"); }}) {
    try {
      ask();
      ADD_FAILURE() << "sse9 was found";
    } catch (const ConfigError& e) {
      const std::string message = e.what();
      EXPECT_NE(message.find("sse9"), std::string::npos) << message;
      EXPECT_NE(message.find("portable"), std::string::npos) << message;
    }
  }
}

}  // namespace
}  // namespace tessera
