#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "engine/core/nesting.h"
#include "rils/data/loader.h"

namespace tessera::rils {

std::string LoaderState::to_json() const {
  nlohmann::json skipped = nlohmann::json::object();
  for (const auto& [reason, entry] : stats.skipped.entries())
    skipped[reason] = {{"count", entry.count}, {"example", entry.example}};
  const nlohmann::json json = {{"epoch", epoch},
                               {"position", position},
                               {"deferred", deferred},
                               {"samples", samples},
                               {"seed", seed},
                               {"total", stats.total},
                               {"seen", stats.seen},
                               {"left_over", stats.left_over},
                               {"cut_captions", stats.cut_captions},
                               {"skipped", skipped}};
  // File names need not be UTF-8.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

namespace {

/// A whole number from `least` on. The library alone would also take 1e300, and the sums of larger ones overflow.
int64_t count_of(const nlohmann::json& json, int64_t least = 0) {
  constexpr int64_t kMost = int64_t{1} << 53;
  if (!json.is_number_integer() || json < least || json > kMost)
    throw IoError(fmt::format("resume: the saved position in the data: expected a count, found {}",
                              json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).substr(0, 40)));
  return json.get<int64_t>();
}

}  // namespace

LoaderState LoaderState::from_json(std::string_view text) {
  try {
    if (nests_too_deep(text)) throw IoError("resume: the saved position in the data nests too deep");
    const auto json = nlohmann::json::parse(text);
    LoaderState state;
    state.epoch = count_of(json.at("epoch"));
    state.position = count_of(json.at("position"));
    for (const auto& place : json.at("deferred")) state.deferred.push_back(count_of(place));
    state.samples = count_of(json.at("samples"), -1);
    if (!json.at("seed").is_number_unsigned()) throw IoError("resume: the saved position in the data has no seed");
    json.at("seed").get_to(state.seed);
    state.stats.total = count_of(json.at("total"));
    state.stats.seen = count_of(json.at("seen"));
    state.stats.left_over = count_of(json.at("left_over"));
    state.stats.cut_captions = count_of(json.at("cut_captions"));
    for (const auto& [reason, entry] : json.at("skipped").items())
      state.stats.skipped.add(reason, entry.at("example").get<std::string>(), count_of(entry.at("count")));
    return state;
  } catch (const nlohmann::json::exception& error) {
    throw IoError(fmt::format("resume: cannot read the saved position in the data: {}", error.what()));
  }
}

}  // namespace tessera::rils
