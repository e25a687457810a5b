#include "rils/config/objective.h"

namespace tessera::rils {

Objective terms_of(ObjectiveName name) {
  using R = Reconstruction;
  switch (name) {
    case ObjectiveName::rils:
      return {.contrastive = true, .reconstruction = R::language};
    case ObjectiveName::clip:
      return {.contrastive = true};
    case ObjectiveName::slip:
      return {.contrastive = true, .simclr = true};
    case ObjectiveName::simclr:
      return {.simclr = true};
    case ObjectiveName::mae:
      return {.reconstruction = R::pixels};
    case ObjectiveName::mae_clip:
      return {.contrastive = true, .reconstruction = R::pixels};
    case ObjectiveName::encoder:
      break;
  }
  return {};
}

}  // namespace tessera::rils
