#include "rils/run/version.h"

namespace tessera::rils {

std::string_view version() { return TESSERA_VERSION; }

}  // namespace tessera::rils
