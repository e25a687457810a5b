#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "engine/core/error.h"
#include "rils/data/prefetch.h"
#include "rils/data/sampler.h"
#include "tests/support/few_threads.h"

namespace tessera::rils {
namespace {

TEST(Prefetch, OrderIsKeptWhateverTheItemsTake) {
  for (const int workers : {0, 1, 3, 8}) {
    OrderedPrefetch<uint64_t> prefetch(workers, 5, 100, 400, [](uint64_t place) {
      if (place % 13 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
      return place * place;
    });
    for (uint64_t place = 100; place < 400; ++place) ASSERT_EQ(prefetch.take(), place * place);
  }
}

TEST(Prefetch, ExceptionsReachTheTakerInTheirPlace) {
  for (const int workers : {0, 1, 4}) {
    OrderedPrefetch<int> prefetch(workers, 4, 0, 40, [](uint64_t place) -> int {
      if (place == 6) throw std::runtime_error("six");
      if (place > 6) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      return static_cast<int>(place);
    });
    for (int i = 0; i < 6; ++i) ASSERT_EQ(prefetch.take(), i);
    EXPECT_THROW((void)prefetch.take(), std::runtime_error);
    for (int i = 7; i < 40; ++i) ASSERT_EQ(prefetch.take(), i);
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(Prefetch, AWorkerThatCannotBeStartedIsAnErrorAndNoDeadlock) {
  const test::FewThreads two(2);
  try {
    const OrderedPrefetch<int> prefetch(6, 4, 0, 40, [](uint64_t place) { return static_cast<int>(place); });
    ADD_FAILURE() << "nothing thrown";
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(),
                 "cannot start a thread, a worker of the loader (--workers sets their number): Resource "
                 "temporarily unavailable");
  }
}
#endif

TEST(Prefetch, NeverRunsFurtherAheadThanItsCapacity) {
  std::atomic<uint64_t> highest{0}, taken{0};
  std::atomic<bool> too_far{false};
  OrderedPrefetch<int> prefetch(4, 6, 0, 1000, [&](uint64_t place) {
    if (place >= taken + 1 + 6) too_far = true;  // take() may be in progress
    return 0;
  });
  for (int i = 0; i < 1000; ++i) {
    (void)prefetch.take();
    ++taken;
  }
  EXPECT_FALSE(too_far);
}

TEST(Prefetch, CanBeDroppedAtAnyTime) {
  for (int trial = 0; trial < 60; ++trial) {
    OrderedPrefetch<std::vector<int>> prefetch(3, 7, 0, OrderedPrefetch<int>::kEndless,
                                               [](uint64_t place) { return std::vector<int>(place % 50, 1); });
    for (int i = 0; i < trial % 9; ++i) (void)prefetch.take();
  }
}

TEST(Sampler, EachSampleOnceAnEpochAndEachEpochAnew) {
  const Sampler sampler(1000, 5, true);
  std::set<std::vector<int64_t>> orders;
  for (int64_t epoch = 0; epoch < 4; ++epoch) {
    const auto order = sampler.order(epoch);
    std::vector<int64_t> samples;
    for (int64_t i = 0; i < order->size(); ++i) samples.push_back(order->at(i).sample);
    orders.insert(samples);
    std::ranges::sort(samples);
    for (int64_t i = 0; i < 1000; ++i) ASSERT_EQ(samples[static_cast<size_t>(i)], i);
  }
  EXPECT_EQ(orders.size(), 4u);
  EXPECT_EQ(Sampler(1000, 5, true).order(2)->at(17), sampler.order(2)->at(17));
  int moved = 0;
  for (int64_t i = 0; i < 1000; ++i) moved += Sampler(1000, 6, true).order(2)->at(i) == sampler.order(2)->at(i) ? 0 : 1;
  EXPECT_GT(moved, 980);
  for (int64_t i = 0; i < 1000; ++i) ASSERT_EQ(Sampler(1000, 5, false).order(3)->at(i).sample, i);
}

/// Every sample comes equally often at every position of the order: a chi-square test over many epochs.
TEST(Sampler, PermutationsAreUniform) {
  constexpr int64_t kSamples = 12, kEpochs = 6000;
  const Sampler sampler(kSamples, 3, true);
  std::vector<std::vector<int>> counts(kSamples, std::vector<int>(kSamples));
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch) {
    const auto order = sampler.order(epoch);
    for (int64_t i = 0; i < kSamples; ++i) ++counts[static_cast<size_t>(i)][static_cast<size_t>(order->at(i).sample)];
  }
  const double expected = static_cast<double>(kEpochs) / kSamples;
  double chi = 0;
  for (const auto& row : counts)
    for (const int n : row) chi += (n - expected) * (n - expected) / expected;
  // 121 degrees of freedom: mean 121, std 15.6.
  EXPECT_GT(chi, 121 - 5 * 15.6);
  EXPECT_LT(chi, 121 + 5 * 15.6);
}

TEST(Sampler, AllCaptionsOnceInRounds) {
  std::vector<int32_t> counts;
  for (int i = 0; i < 200; ++i) counts.push_back(1 + i % 5);
  const Sampler sampler(counts, 5, true);
  EXPECT_EQ(sampler.epoch_size(), 600);
  const auto order = sampler.order(1);
  std::set<std::pair<int64_t, int32_t>> pairs;
  for (int64_t i = 0; i < order->size(); ++i) pairs.insert({order->at(i).sample, order->at(i).caption});
  EXPECT_EQ(pairs.size(), 600u);
  std::set<int64_t> first_round;
  for (int64_t i = 0; i < 200; ++i) first_round.insert(order->at(i).sample);
  EXPECT_EQ(first_round.size(), 200u);
  for (const auto& [sample, caption] : pairs) EXPECT_LT(caption, 1 + sample % 5);
}

}  // namespace
}  // namespace tessera::rils
