// The caching pool, over memory of the host.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <thread>
#include <vector>

#include "engine/core/error.h"
#include "engine/memory/pool.h"
#include "engine/memory/storage.h"

namespace tessera {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

TEST(CachingPool, ClassesWasteAtMostAQuarterAndAlign) {
  size_t previous = 0;
  for (size_t bytes = 0; bytes < 9 * kMiB; bytes += bytes / 50 + 1) {
    const size_t size = CachingPool::rounded(bytes);
    ASSERT_GE(size, bytes);
    ASSERT_EQ(size % 64, 0u) << bytes;
    ASSERT_GE(size, previous) << "classes grow with the request";
    ASSERT_EQ(CachingPool::rounded(size), size) << "a class is its own class";
    if (bytes >= 512 && bytes <= kMiB) {
      ASSERT_LE(size, bytes + bytes / 4) << bytes;
    }
    previous = size;
  }
  EXPECT_EQ(CachingPool::rounded(0), 64u);
  EXPECT_EQ(CachingPool::rounded(kMiB + 1), 2 * kMiB);
  EXPECT_EQ(CachingPool::rounded(253 * kMiB), 256 * kMiB);
  EXPECT_EQ(CachingPool::rounded(513 * kMiB), 528 * kMiB) << "an arena wastes a 32nd";
  EXPECT_EQ(CachingPool::rounded(572 * kMiB), 576 * kMiB);
}

TEST(CachingPool, HandsOutTheLastFreedBlockOfAClass) {
  CachingPool pool(host_memory());
  void* first = pool.allocate(1000);
  void* second = pool.allocate(1000);
  pool.deallocate(first, 1000);
  pool.deallocate(second, 1000);
  EXPECT_EQ(pool.allocate(990), second);
  EXPECT_EQ(pool.allocate(1000), first);
  void* other = pool.allocate(5000);
  EXPECT_NE(other, first);
  EXPECT_EQ(pool.statistics().system_allocations, 3);
  for (void* block : {first, second}) pool.deallocate(block, 1000);
  pool.deallocate(other, 5000);
}

TEST(CachingPool, AFreeBlockServesALittleLess) {
  struct Case {
    size_t free, asked;
    bool serves;
  };
  for (const Case& c : {Case{2048, 1024, true},
                        {2560, 1024, false},
                        {2 * kMiB, kMiB, true},
                        {4 * kMiB, kMiB, false},
                        {10 * kMiB, 8 * kMiB, true},
                        {12 * kMiB, 8 * kMiB, false},
                        {1024, 2048, false}}) {
    CachingPool pool(host_memory());
    pool.deallocate(pool.allocate(c.free), c.free);
    void* block = pool.allocate(c.asked);
    EXPECT_EQ(pool.statistics().system_allocations, c.serves ? 1 : 2) << c.free << " for " << c.asked;
    EXPECT_EQ(pool.statistics().current, static_cast<int64_t>(c.serves ? c.free : c.asked)) << "whole blocks count";
    pool.deallocate(block, c.asked);
    EXPECT_EQ(pool.statistics().current, 0);
  }
}

TEST(CachingPool, BlocksAreAlignedDistinctAndWritable) {
  CachingPool pool(host_memory());
  std::map<void*, size_t> blocks;
  const size_t sizes[] = {0, 0, 1, 63, 64, 65, 4097, kMiB, 3 * kMiB, 5 * kMiB};
  for (const size_t bytes : sizes) {
    void* block = pool.allocate(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % 64, 0u);
    if (bytes >= 2 * kMiB) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % (2 * kMiB), 0u) << "a huge page";
    }
    EXPECT_TRUE(blocks.emplace(block, bytes).second);
    std::memset(block, 0x5a, CachingPool::rounded(bytes));
  }
  EXPECT_EQ(blocks.size(), std::size(sizes));
  for (const auto& [block, bytes] : blocks) pool.deallocate(block, bytes);
}

TEST(CachingPool, CountsWhatItHolds) {
  CachingPool pool(host_memory());
  void* a = pool.allocate(1024);
  void* b = pool.allocate(3 * kMiB);
  const auto size_b = static_cast<int64_t>(CachingPool::rounded(3 * kMiB));
  EXPECT_EQ(pool.statistics().current, 1024 + size_b);
  pool.deallocate(b, 3 * kMiB);
  const MemoryStatistics s = pool.statistics();
  EXPECT_EQ(s.current, 1024);
  EXPECT_EQ(s.peak, 1024 + size_b);
  EXPECT_EQ(s.reserved, 1024 + size_b);
  EXPECT_EQ(s.allocations, 2);
  EXPECT_EQ(s.system_allocations, 2);
  pool.reset_peak();
  EXPECT_EQ(pool.statistics().peak, 1024);
  pool.trim();
  EXPECT_EQ(pool.statistics().reserved, 1024);
  pool.deallocate(a, 1024);
  pool.trim();
  EXPECT_EQ(pool.statistics().reserved, 0);
  EXPECT_EQ(pool.statistics().current, 0);
}

TEST(CachingPool, ALimitNamesTheLargestHolders) {
  CachingPool pool(host_memory(), {.limit_bytes = 10 * kMiB});
  const MemoryTag outer("activations");
  void* large = pool.allocate(6 * kMiB);
  void* small = nullptr;
  {
    const MemoryTag inner("gradients");
    EXPECT_STREQ(MemoryTag::current(), "gradients");
    small = pool.allocate(2 * kMiB);
  }
  EXPECT_STREQ(MemoryTag::current(), "activations");
  try {
    (void)pool.allocate(4 * kMiB);
    FAIL() << "beyond the limit";
  } catch (const OutOfMemoryError& e) {
    const std::string m = e.what();
    EXPECT_NE(m.find("asked for 4.0 MiB"), std::string::npos) << m;
    EXPECT_NE(m.find("8.0 MiB in use"), std::string::npos) << m;
    EXPECT_NE(m.find("limit 10.0 MiB"), std::string::npos) << m;
    EXPECT_LT(m.find("activations 6.0 MiB"), m.find("gradients 2.0 MiB")) << m;
    EXPECT_EQ(m.find('\n'), std::string::npos) << m;
  }
  const auto holders = pool.largest_holders(1);
  ASSERT_EQ(holders.size(), 1u);
  EXPECT_EQ(holders[0].tag, "activations");
  EXPECT_EQ(holders[0].blocks, 1);
  pool.deallocate(large, 6 * kMiB);
  pool.deallocate(small, 2 * kMiB);
}

TEST(CachingPool, GivesCachedBlocksBackBeforeItRefuses) {
  CachingPool pool(host_memory(), {.limit_bytes = 10 * kMiB});
  pool.deallocate(pool.allocate(8 * kMiB), 8 * kMiB);
  EXPECT_EQ(pool.statistics().reserved, static_cast<int64_t>(8 * kMiB));
  void* other = pool.allocate(4 * kMiB);
  EXPECT_EQ(pool.statistics().reserved, static_cast<int64_t>(4 * kMiB));
  pool.set_limit(5 * kMiB);
  EXPECT_THROW((void)pool.allocate(2 * kMiB), OutOfMemoryError);
  pool.set_limit(0);
  pool.deallocate(pool.allocate(64 * kMiB), 64 * kMiB);
  pool.deallocate(other, 4 * kMiB);
}

TEST(CachingPool, AbsurdRequestsAreErrorsNotCrashes) {
  CachingPool pool(host_memory());
  EXPECT_THROW((void)pool.allocate(size_t{1} << 60), OutOfMemoryError);
  EXPECT_EQ(pool.statistics().current, 0);
}

TEST(CachingPool, PoisonMarksFreshAndFreedBlocks) {
  CachingPool pool(host_memory(), {.poison = true});
  auto* block = static_cast<unsigned char*>(pool.allocate(100));
  for (int i = 0; i < 100; ++i) ASSERT_EQ(block[i], 0xff);
  std::memset(block, 0, 100);
  pool.deallocate(block, 100);
  auto* again = static_cast<unsigned char*>(pool.allocate(100));
  ASSERT_EQ(again, block);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(again[i], 0xff);
  pool.deallocate(again, 100);
}

TEST(CachingPool, ThreadsShareIt) {
  CachingPool pool(host_memory());
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&pool, t] {
      for (size_t i = 0; i < 2000; ++i) {
        const size_t bytes = 64 + (i * 37 + t * 91) % 5000;
        auto* block = static_cast<unsigned char*>(pool.allocate(bytes));
        std::memset(block, static_cast<int>(t), bytes);
        ASSERT_EQ(block[0], t);
        ASSERT_EQ(block[bytes - 1], t);
        pool.deallocate(block, bytes);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(pool.statistics().current, 0);
  EXPECT_EQ(pool.statistics().allocations, 8000);
}

TEST(Storage, ReturnsItsBlock) {
  CachingPool pool(host_memory());
  {
    const Storage storage(Device::cpu(), pool, 100);
    EXPECT_GT(pool.statistics().current, 0);
  }
  EXPECT_EQ(pool.statistics().current, 0);
}

}  // namespace
}  // namespace tessera
