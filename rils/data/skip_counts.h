#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace tessera::rils {

/// Samples that were skipped: how many for each reason, and the first one of each by name.
class SkipCounts {
 public:
  struct Entry {
    int64_t count = 0;
    std::string example;  // name of the first, with what was wrong where that is known
    bool operator==(const Entry&) const = default;
  };

  void add(std::string_view reason, std::string_view example, int64_t count = 1);
  void merge(const SkipCounts& other);
  [[nodiscard]] int64_t total() const;
  [[nodiscard]] int64_t count(std::string_view reason) const;
  [[nodiscard]] const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }
  /// "3 skipped: 2 broken image (first a.jpg: …), 1 no caption (first b)", or "none skipped".
  [[nodiscard]] std::string describe() const;
  bool operator==(const SkipCounts&) const = default;

 private:
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace tessera::rils
