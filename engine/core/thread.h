#pragma once

#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace tessera {

/// Throws Error: which thread cannot be created, why, and what uses fewer.
[[noreturn]] void cannot_start_thread(std::string_view purpose, const std::system_error& error);

/// Starts a thread. Every thread of the project is started here, so that a limit on their number gives one clear error.
/// `purpose` names it ("worker of the loader (--workers sets their number)"). Throws Error. The caller must let threads
/// that it has started end before it passes the error on.
template <class Work>
[[nodiscard]] std::jthread start_thread(std::string_view purpose, Work&& work) {
  try {
    return std::jthread(std::forward<Work>(work));
  } catch (const std::system_error& error) {
    cannot_start_thread(purpose, error);
  }
}

}  // namespace tessera
