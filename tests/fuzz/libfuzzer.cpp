// The entry of libFuzzer. TESSERA_HARNESS names the harness that the program runs.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/harness.h"

namespace {

const tessera::fuzz::Harness& chosen() {
  const auto& all = tessera::fuzz::harnesses();
  const char* name = std::getenv("TESSERA_HARNESS");
  const auto found = std::ranges::find(all, name == nullptr ? "" : name, &tessera::fuzz::Harness::name);
  if (found != all.end()) return *found;
  for (const auto& harness : all) std::printf("%s\n", harness.name.c_str());
  std::fflush(stdout);
  std::_Exit(name == nullptr ? 0 : 2);  // without a name it lists them
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  (void)chosen();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const tessera::fuzz::Harness& harness = chosen();
  (void)tessera::fuzz::run(harness, {reinterpret_cast<const char*>(data), size});
  return 0;
}
