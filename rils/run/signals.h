#pragma once

namespace tessera::rils {

/// The exit code of a run that was stopped by Ctrl-C, as in shells.
inline constexpr int kInterrupted = 130;

/// While this object exists, the first Ctrl-C (or SIGTERM) only sets requested(), so that a step can be finished and
/// saved; the second ends the process at once with 130. Only one object may exist at a time.
class StopRequest {
 public:
  StopRequest();
  ~StopRequest();
  StopRequest(const StopRequest&) = delete;
  StopRequest& operator=(const StopRequest&) = delete;
  [[nodiscard]] bool requested() const;
};

}  // namespace tessera::rils
