#include <fmt/format.h>

#include <nlohmann/json.hpp>

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

LoaderState LoaderState::from_json(std::string_view text) {
  try {
    if (is_json_bomb(text)) throw IoError("resume: the saved position in the data nests too deep or is too long");
    const auto json = nlohmann::json::parse(text);
    LoaderState state;
    json.at("epoch").get_to(state.epoch);
    json.at("position").get_to(state.position);
    json.at("deferred").get_to(state.deferred);
    json.at("samples").get_to(state.samples);
    json.at("seed").get_to(state.seed);
    json.at("total").get_to(state.stats.total);
    json.at("seen").get_to(state.stats.seen);
    json.at("left_over").get_to(state.stats.left_over);
    json.at("cut_captions").get_to(state.stats.cut_captions);
    for (const auto& [reason, entry] : json.at("skipped").items())
      state.stats.skipped.add(reason, entry.at("example").get<std::string>(), entry.at("count").get<int64_t>());
    return state;
  } catch (const nlohmann::json::exception& error) {
    throw IoError(fmt::format("resume: cannot read the saved position in the data: {}", error.what()));
  }
}

}  // namespace tessera::rils
