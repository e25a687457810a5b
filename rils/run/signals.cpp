#include "rils/run/signals.h"

#include <unistd.h>

#include <array>
#include <csignal>

namespace tessera::rils {
namespace {

volatile std::sig_atomic_t requests = 0;
constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
std::array<struct sigaction, kSignals.size()> previous;

extern "C" void count_request(int signal) {
  // A closed terminal or pipe sends its signal again and again: only a person's second wish ends the process at once.
  if (requests > 0 && (signal == SIGINT || signal == SIGTERM)) ::_exit(kInterrupted);
  requests = 1;
}

}  // namespace

StopRequest::StopRequest() {
  requests = 0;
  struct sigaction action {};
  action.sa_handler = count_request;
  ::sigemptyset(&action.sa_mask);
  // Reads and writes that a signal interrupts are restarted.
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], nullptr, &previous[i]);
    // nohup, or a shell that starts the run in the background, has it ignored.
    if (previous[i].sa_handler != SIG_IGN) ::sigaction(kSignals[i], &action, nullptr);
  }
}

StopRequest::~StopRequest() {
  for (size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &previous[i], nullptr);
}

bool StopRequest::requested() const { return requests != 0; }

}  // namespace tessera::rils
