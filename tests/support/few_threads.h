#pragma once

#include <pthread.h>
#include <sys/resource.h>

#include <cstddef>
#include <fstream>

namespace tessera::test {

/// While it exists, this process can start `count` more threads and no further one: threads get large stacks, and the
/// address space ends after so many. Root has no limit on the number of threads itself.
class FewThreads {
 public:
  explicit FewThreads(int count) {
    constexpr size_t kStack = size_t{256} << 20;
    pthread_getattr_default_np(&attributes_);
    pthread_attr_t large;
    pthread_getattr_default_np(&large);
    pthread_attr_setstacksize(&large, kStack);
    pthread_setattr_default_np(&large);
    pthread_attr_destroy(&large);
    size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    getrlimit(RLIMIT_AS, &limit_);
    const rlimit small{pages * 4096 + static_cast<size_t>(count) * kStack + kStack / 2, limit_.rlim_max};
    setrlimit(RLIMIT_AS, &small);
  }
  ~FewThreads() {
    setrlimit(RLIMIT_AS, &limit_);
    pthread_setattr_default_np(&attributes_);
    pthread_attr_destroy(&attributes_);
  }
  FewThreads(const FewThreads&) = delete;
  FewThreads& operator=(const FewThreads&) = delete;

 private:
  pthread_attr_t attributes_{};
  rlimit limit_{};
};

}  // namespace tessera::test
