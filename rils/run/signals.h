#pragma once

namespace tessera::rils {

/// Exit code of a run that was stopped by Ctrl-C, as shells have it.
inline constexpr int kInterrupted = 130;

/// While it lives, the first Ctrl-C (or SIGTERM) only sets requested(), so that a step can be finished and saved; the
/// second leaves the process at once with 130. One at a time.
class StopRequest {
 public:
  StopRequest();
  ~StopRequest();
  StopRequest(const StopRequest&) = delete;
  StopRequest& operator=(const StopRequest&) = delete;
  [[nodiscard]] bool requested() const;
};

}  // namespace tessera::rils
