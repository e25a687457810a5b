#pragma once

#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "engine/core/error.h"

namespace tessera::fuzz {

/// Gives any bytes to a reader. It may throw tessera::Error; whatever else it throws is a finding.
struct Harness {
  std::string name;
  void (*read)(std::string_view input);
};

/// All harnesses of a program, by name.
[[nodiscard]] const std::vector<Harness>& harnesses();
bool add_harness(std::string name, void (*read)(std::string_view input));

/// Runs a harness. Returns whether the input was accepted; throws what is a finding.
bool run(const Harness& harness, std::string_view input);

/// What is thrown where something does not hold that a header promises.
class Finding : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};
void expect(bool holds, const char* promise);

/// Calls a reader whose header promises errors of one type. Returns whether it threw none; any other error of ours is
/// a finding.
template <class Promised, class Function>
bool accepts(Function&& function) {
  try {
    function();
    return true;
  } catch (const Error& error) {
    if constexpr (!std::is_same_v<Promised, Error>) {
      if (dynamic_cast<const Promised*>(&error) == nullptr) {
        throw Finding(std::string("an error of another type than promised: ") + error.what());
      }
    }
    return false;
  }
}

[[nodiscard]] std::span<const std::byte> bytes_of(std::string_view text);

/// Takes the first byte of an input, from which a harness chooses options; 0 for an empty one.
unsigned take_choice(std::string_view& input);
/// Exactly `count` parts of an input, which the byte 0x1e separates; the last one is the rest.
[[nodiscard]] std::vector<std::string_view> parts_of(std::string_view input, size_t count);

/// Writes a file into the folder of this process, which is removed at its end.
std::filesystem::path file(const std::string& name, std::string_view content);
/// An empty folder there; what it held is removed.
std::filesystem::path empty_folder(const std::string& name);

}  // namespace tessera::fuzz

/// Defines a harness: TESSERA_FUZZ(name) { … } with `input`, a string_view.
#define TESSERA_FUZZ(name)                                                           \
  static void fuzz_##name(std::string_view input);                                   \
  [[maybe_unused]] static const bool known_##name = add_harness(#name, fuzz_##name); \
  static void fuzz_##name([[maybe_unused]] std::string_view input)
