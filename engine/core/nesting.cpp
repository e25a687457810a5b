#include "engine/core/nesting.h"

namespace tessera {

bool is_json_bomb(std::string_view json, size_t most) {
  constexpr int kMostDepth = 64;
  int depth = 0;
  size_t values = 0;  // brackets, commas and colons: about one for each value and name
  bool quoted = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (quoted) {
      if (c == '\\') ++i;
      quoted = c != '"';
    } else if (c == '"') {
      quoted = true;
    } else if (c == ']' || c == '}') {
      --depth;
    } else if (c == '[' || c == '{' || c == ',' || c == ':') {
      if (++values > most) return true;
      if ((c == '[' || c == '{') && ++depth > kMostDepth) return true;
    }
  }
  return false;
}

}  // namespace tessera
