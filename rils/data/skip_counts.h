#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace tessera::rils {

/// Counts of skipped samples by reason, with the name of the first sample for each reason.
class SkipCounts {
 public:
  struct Entry {
    int64_t count = 0;
    std::string example;  // name of the first sample, with the error's message where there is one
    bool operator==(const Entry&) const = default;
  };

  void add(std::string_view reason, std::string_view example, int64_t count = 1);
  void merge(const SkipCounts& other);
  [[nodiscard]] int64_t total() const;
  [[nodiscard]] int64_t count(std::string_view reason) const;
  [[nodiscard]] const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }
  /// "3 skipped (broken image: 2, first a.jpg: …; no caption: 1, first b)", or "none skipped".
  [[nodiscard]] std::string describe() const;
  bool operator==(const SkipCounts&) const = default;

 private:
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace tessera::rils
