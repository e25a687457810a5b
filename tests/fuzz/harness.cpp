#include "tests/fuzz/harness.h"

#include <algorithm>
#include <utility>

#include "tests/support/temporary_folder.h"

namespace tessera::fuzz {
namespace {

std::vector<Harness>& registry() {
  static std::vector<Harness> all;
  return all;
}

const test::TemporaryFolder& folder() {
  static const test::TemporaryFolder made;
  return made;
}

}  // namespace

const std::vector<Harness>& harnesses() {
  std::ranges::sort(registry(), {}, &Harness::name);
  return registry();
}

bool add_harness(std::string name, void (*read)(std::string_view input)) {
  registry().push_back({std::move(name), read});
  return true;
}

bool run(const Harness& harness, std::string_view input) {
  try {
    harness.read(input);
    return true;
  } catch (const Error& error) {
    expect(*error.what() != '\0', "an error says what is wrong");
    return false;
  }
}

void expect(bool holds, const char* promise) {
  if (!holds) throw Finding(std::string("expected: ") + promise);
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

unsigned take_choice(std::string_view& input) {
  if (input.empty()) return 0;
  const auto choice = static_cast<unsigned char>(input.front());
  input.remove_prefix(1);
  return choice;
}

std::vector<std::string_view> parts_of(std::string_view input, size_t count) {
  std::vector<std::string_view> parts;
  while (parts.size() + 1 < count) {
    const size_t end = std::min(input.find('\x1e'), input.size());
    parts.push_back(input.substr(0, end));
    input.remove_prefix(std::min(end + 1, input.size()));
  }
  parts.push_back(input);
  return parts;
}

std::filesystem::path file(const std::string& name, std::string_view content) { return folder().write(name, content); }

std::filesystem::path empty_folder(const std::string& name) {
  const std::filesystem::path path = folder().path() / name;
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

}  // namespace tessera::fuzz
