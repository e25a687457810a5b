#include "tests/autograd/helpers.h"

#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>

namespace tessera::autograd {

std::string run_disabled_test(const std::string& variable, const std::string& test) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  const std::string command =
      variable + " '" + self + "' --gtest_also_run_disabled_tests --gtest_filter=" + test + " 2>&1";
  const auto close = [](FILE* f) { pclose(f); };
  const std::unique_ptr<FILE, decltype(close)> pipe(popen(command.c_str(), "r"), close);
  std::string output;
  std::array<char, 256> buffer{};
  while (pipe && fgets(buffer.data(), static_cast<int>(buffer.size()), pipe.get()) != nullptr) output += buffer.data();
  return output;
}

}  // namespace tessera::autograd
