#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace tessera::apps {

/// Adds the subcommands that draw: heatmap, reconstruction, retrievals, data, curves, sheet, report, and results. The
/// result runs the one that was chosen, and returns nothing (−1) where none of them was.
[[nodiscard]] std::function<int()> add_picture_commands(CLI::App& app);

}  // namespace tessera::apps
