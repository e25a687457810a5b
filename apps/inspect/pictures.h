#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace tessera::apps {

/// Adds the subcommands heatmap, reconstruction, retrievals, data, curves, sheet, report and results. The returned
/// function runs the one that was chosen and returns its exit code, or −1 if none of them was.
[[nodiscard]] std::function<int()> add_picture_commands(CLI::App& app);

}  // namespace tessera::apps
