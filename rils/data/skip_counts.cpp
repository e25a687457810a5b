#include "rils/data/skip_counts.h"

#include <fmt/format.h>

#include "engine/core/printable.h"

namespace tessera::rils {

void SkipCounts::add(std::string_view reason, std::string_view example, int64_t count) {
  if (count == 0) return;
  auto [it, is_new] = entries_.try_emplace(std::string(reason));
  if (is_new) it->second.example = example;
  it->second.count += count;
}

void SkipCounts::merge(const SkipCounts& other) {
  for (const auto& [reason, entry] : other.entries_) add(reason, entry.example, entry.count);
}

int64_t SkipCounts::total() const {
  int64_t sum = 0;
  for (const auto& [reason, entry] : entries_) sum += entry.count;
  return sum;
}

int64_t SkipCounts::count(std::string_view reason) const {
  const auto it = entries_.find(reason);
  return it == entries_.end() ? 0 : it->second.count;
}

std::string SkipCounts::describe() const {
  if (entries_.empty()) return "none skipped";
  std::string text = fmt::format("{} skipped", total());
  const char* separator = " (";
  for (const auto& [reason, entry] : entries_) {
    text += fmt::format("{}{}: {}, first {}", separator, reason, entry.count, printable(entry.example));
    separator = "; ";
  }
  return text + ")";
}

}  // namespace tessera::rils
