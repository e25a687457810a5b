#include "rils/config/objective.h"

#include <fmt/format.h>

#include "engine/core/error.h"

namespace tessera::rils {

Objective parse_objective(const std::string& name) {
  if (name == "rils") return {true, Reconstruction::language, false};
  if (name == "clip") return {true, Reconstruction::none, false};
  if (name == "slip") return {true, Reconstruction::none, true};
  if (name == "simclr") return {false, Reconstruction::none, true};
  if (name == "mae") return {false, Reconstruction::pixels, false};
  if (name == "mae+clip") return {true, Reconstruction::pixels, false};
  if (name == "encoder") return {};
  throw ConfigError(fmt::format("model.objective: no objective \"{}\"", name));
}

}  // namespace tessera::rils
