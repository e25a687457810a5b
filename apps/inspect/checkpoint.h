#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace tessera::apps {

/// Adds the subcommand `checkpoint`: lists a file, compares two, converts weights from and to other programs. The
/// result runs it where it was chosen.
[[nodiscard]] std::function<void()> add_checkpoint_command(CLI::App& app);

}  // namespace tessera::apps
