#pragma once

namespace tessera::rils {

/// The exit code of a run that was stopped by Ctrl-C or another signal, as in shells.
inline constexpr int kInterrupted = 130;

/// While this object exists, the first Ctrl-C (SIGINT), SIGTERM, SIGHUP (the terminal is gone) or SIGPIPE (nobody reads
/// the output) only sets requested(), so that a step can be finished and saved; a second Ctrl-C or SIGTERM ends the
/// process at once with 130. A signal that is ignored stays ignored. Only one object may exist at a time.
class StopRequest {
 public:
  StopRequest();
  ~StopRequest();
  StopRequest(const StopRequest&) = delete;
  StopRequest& operator=(const StopRequest&) = delete;
  [[nodiscard]] bool requested() const;
};

}  // namespace tessera::rils
