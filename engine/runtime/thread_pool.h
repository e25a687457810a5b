#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace tessera {

/// A reference to a callable, which must outlive the call. It allocates nothing.
template <class Signature>
class FunctionRef;
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
      FunctionRef(F&& f)  // NOLINT(google-explicit-constructor,bugprone-forwarding-reference-overload)
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* o, Args... args) -> R { return (*static_cast<std::remove_reference_t<F>*>(o))(args...); }) {}
  R operator()(Args... args) const { return call_(object_, args...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

/// Threads that spin for a short time and then sleep while they wait for work. Work is split by the problem, never by
/// the number of threads, so results do not depend on that number.
class ThreadPool {
 public:
  /// `threads` counts the calling thread. 0: as many as the process may use processors, or fewer if TESSERA_THREADS
  /// says so. Throws Error when a thread cannot be started.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int threads() const;
  /// Calls task(i, thread) once for each i in [0, count), thread in [0, threads()). Tasks are taken in ascending order
  /// by whichever thread is free; the first exception is rethrown here. Not re-entrant; one caller at a time.
  void run(int64_t count, FunctionRef<void(int64_t, int)> task);
  [[nodiscard]] static int default_threads();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tessera
