#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace tessera::apps {

/// Adds the subcommand `checkpoint`, which lists a file, compares two, or converts weights from and to other programs.
/// The returned function runs it if it was chosen.
[[nodiscard]] std::function<void()> add_checkpoint_command(CLI::App& app);

}  // namespace tessera::apps
