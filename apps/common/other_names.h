#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace tessera::apps {

/// What to say to names that users of open_clip, MAE, timm and CLIP_benchmark know and that our programs lack.
struct OtherNames {
  std::vector<std::string_view> names;  // without dashes; one that ends in * stands for all that begin so
  /// Our option, without dashes, maybe with a value: "keep 1". The first one counts that the program has.
  std::vector<std::string_view> ours;
  std::string_view text;  // behind ours, or alone where ours is empty

  [[nodiscard]] bool has(std::string_view name) const;
};
/// A name may stand in several rows; the first that fits the program counts.
[[nodiscard]] std::span<const OtherNames> other_options();
/// Subcommands; `ours` is one of them.
[[nodiscard]] std::span<const OtherNames> other_subcommands();

}  // namespace tessera::apps
