#include "rils/data/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <span>
#include <unordered_map>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/data/decode.h"
#include "rils/data/image.h"
#include "rils/text/ascii.h"

namespace tessera::rils {
namespace {

using Fields = std::vector<std::string>;

constexpr size_t kSampleRecords = 20;         // that are read to detect separator, header and columns
constexpr size_t kMaxQuotedField = 64 << 10;  // a quote that is not closed within this many bytes is a plain character

constexpr std::array<std::string_view, 10> kImageNames = {
    "filepath", "image", "image_path", "img", "path", "file", "filename", "file_name", "file_path", "image_name"};
constexpr std::array<std::string_view, 7> kCaptionNames = {"title",    "caption", "text",       "sentence",
                                                           "captions", "comment", "description"};

bool is_blank(std::string_view text) { return trim(text).empty(); }

std::vector<Fields> sample_records(std::string_view text, char separator) {
  RecordReader reader(text, separator);
  std::vector<Fields> records;
  Fields fields;
  while (records.size() < kSampleRecords && reader.next(fields)) records.push_back(fields);
  return records;
}

char find_separator(const std::filesystem::path& path, std::string_view text, const std::string& wanted) {
  if (wanted == "\\t" || wanted == "tab") return '\t';
  if (wanted.size() == 1) return wanted[0];
  if (!wanted.empty()) throw ConfigError(fmt::format("--csv-separator: expected one character, found '{}'", wanted));
  if (lower_ascii(path.extension().string()) == ".tsv") return '\t';
  char best = '\0';
  double best_share = 0.0;
  for (const char candidate : {'\t', ',', ';', '|'}) {
    const auto records = sample_records(text, candidate);
    if (records.empty() || records[0].size() < 2) continue;
    const auto same = std::ranges::count_if(records, [&](const Fields& f) { return f.size() == records[0].size(); });
    const double share = static_cast<double>(same) / static_cast<double>(records.size());
    if (share > best_share) best = candidate, best_share = share;
  }
  if (best == '\0')
    throw ConfigError(fmt::format("{}: expected a table separated by tab, comma, semicolon or bar", path.string()));
  return best;
}

struct Columns {
  size_t image = 0, caption = 0, count = 0;
  bool header = false;
};

std::optional<size_t> column_number(const std::filesystem::path& path, const std::string& key, size_t columns) {
  size_t number = 0;
  const auto [end, code] = std::from_chars(key.data(), key.data() + key.size(), number);
  if (key.empty() || code != std::errc() || end != key.data() + key.size()) return std::nullopt;
  if (number < 1 || number > columns)
    throw ConfigError(
        fmt::format("{}: there is no column {}; columns are numbered from 1 to {}", path.string(), key, columns));
  return number - 1;
}

std::optional<size_t> column_named(const Fields& header, std::string_view name) {
  const auto exact = std::ranges::find(header, name);
  if (exact != header.end()) return static_cast<size_t>(exact - header.begin());
  const auto loose = std::ranges::find_if(header, [&](const auto& h) { return lower_ascii(h) == lower_ascii(name); });
  if (loose != header.end()) return static_cast<size_t>(loose - header.begin());
  return std::nullopt;
}

/// Finds a column by name. The default name also matches the other usual names.
std::optional<size_t> find_named(const Fields& header, const std::string& key, std::string_view default_key,
                                 std::span<const std::string_view> usual) {
  if (auto found = column_named(header, key)) return found;
  if (key != default_key) return std::nullopt;
  for (const auto name : usual)
    if (auto found = column_named(header, name)) return found;
  return std::nullopt;
}

/// Finds the columns of a table without header: the first with image names, and the one with the longest texts among
/// the others.
std::optional<Columns> guess_columns(const std::vector<Fields>& records) {
  const size_t count = records[0].size();
  Columns c{count, count, count, false};
  std::vector<size_t> length(count);
  for (const auto& record : records)
    for (size_t i = 0; i < std::min(count, record.size()); ++i) length[i] += record[i].size();
  for (size_t i = count; i-- > 0;)
    if (has_image_extension(records[0][i])) c.image = i;
  for (size_t i = 0; i < count; ++i)
    if (i != c.image && (c.caption == count || length[i] > length[c.caption])) c.caption = i;
  if (c.image == count || c.caption == count) return std::nullopt;
  return c;
}

Columns find_columns(const std::filesystem::path& path, const std::vector<Fields>& records, const TableOptions& o) {
  const Fields& first = records[0];
  const auto image_number = column_number(path, o.image_column, first.size());
  const auto caption_number = column_number(path, o.caption_column, first.size());
  const auto image = image_number ? image_number : find_named(first, o.image_column, kDefaultImageColumn, kImageNames);
  const auto caption =
      caption_number ? caption_number : find_named(first, o.caption_column, kDefaultCaptionColumn, kCaptionNames);
  if (image && caption) {
    // Columns found by name prove a header. With numbers only, the first row is a header when the second row has an
    // image name and the first has none.
    bool header = !image_number || !caption_number;
    if (!header && !has_image_extension(first[*image]))
      header = records.size() > 1 && records[1].size() > *image && has_image_extension(records[1][*image]);
    return {*image, *caption, first.size(), header};
  }
  const bool defaults = o.image_column == kDefaultImageColumn && o.caption_column == kDefaultCaptionColumn;
  if (defaults && !image && !caption)
    if (auto guessed = guess_columns(records)) return *guessed;
  std::string names;
  for (const auto& name : first) names += (names.empty() ? "" : ", ") + name;
  throw ConfigError(fmt::format("{}: there is no column '{}'; the first row is: {}", path.string(),
                                image ? o.caption_column : o.image_column, names));
}

/// The caption of a row, or nullopt when the row has a wrong number of fields. An unquoted caption in the last column
/// may contain separators.
std::optional<std::string> row_caption(const Fields& fields, const Columns& columns, char separator) {
  if (fields.size() == columns.count) return fields[columns.caption];
  if (fields.size() < columns.count || columns.caption != columns.count - 1) return std::nullopt;
  std::string caption = fields[columns.caption];
  for (size_t i = columns.count; i < fields.size(); ++i) caption += separator + fields[i];
  return caption;
}

}  // namespace

bool RecordReader::at_end_of_field(size_t at) const {
  return at >= text_.size() || text_[at] == separator_ || text_[at] == '\n' ||
         (text_[at] == '\r' && (at + 1 >= text_.size() || text_[at + 1] == '\n'));
}

bool RecordReader::read_quoted(std::string& field) {
  int64_t lines = 0;
  const size_t limit = std::min(text_.size(), at_ + kMaxQuotedField);
  for (size_t i = at_ + 1; i < limit; ++i) {
    if (text_[i] == '\n') ++lines;
    if (text_[i] != '"') {
      field += text_[i];
      continue;
    }
    if (i + 1 < text_.size() && text_[i + 1] == '"') {
      field += '"';
      ++i;
      continue;
    }
    if (!at_end_of_field(i + 1)) return false;
    at_ = i + 1;
    line_ += lines;
    return true;
  }
  return false;
}

std::string RecordReader::read_field() {
  std::string field;
  if (at_ < text_.size() && text_[at_] == '"') {
    if (read_quoted(field)) return field;
    field.clear();
  }
  while (!at_end_of_field(at_)) field += text_[at_++];
  return field;
}

bool RecordReader::next(std::vector<std::string>& fields) {
  const auto skip_line_end = [this] {
    if (at_ < text_.size() && text_[at_] == '\r') ++at_;
    if (at_ < text_.size() && text_[at_] == '\n') ++at_, ++line_;
  };
  while (at_ < text_.size() && text_[at_] != separator_ && at_end_of_field(at_)) skip_line_end();
  if (at_ >= text_.size()) return false;
  record_line_ = line_;
  fields.clear();
  for (;;) {
    fields.push_back(read_field());
    if (at_ >= text_.size() || text_[at_] != separator_) break;
    ++at_;
  }
  skip_line_end();
  return true;
}

CaptionTable read_caption_table(const std::filesystem::path& path, const TableOptions& options) {
  const std::string content = read_file(path);
  std::string_view text = content;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  if (is_blank(text)) throw ConfigError(fmt::format("{}: the table is empty", path.string()));
  const char separator = find_separator(path, text, options.separator);
  const Columns columns = find_columns(path, sample_records(text, separator), options);

  CaptionTable table;
  table.root = options.image_root.empty() ? path.parent_path() : options.image_root;
  std::unordered_map<std::string, size_t> index_of;
  std::vector<int64_t> blank_rows;  // per image
  RecordReader reader(text, separator);
  Fields fields;
  if (columns.header) (void)reader.next(fields);
  while (reader.next(fields)) {
    auto caption = row_caption(fields, columns, separator);
    if (!caption || is_blank(fields[columns.image])) {
      table.skipped.add(skip::kBadRow, fmt::format("{}:{}", path.filename().string(), reader.line()));
      continue;
    }
    const auto [it, is_new] = index_of.try_emplace(fields[columns.image], table.entries.size());
    if (is_new) {
      table.entries.push_back({fields[columns.image], {}});
      blank_rows.push_back(0);
    }
    if (is_blank(*caption)) {
      ++blank_rows[it->second];
    } else {
      table.entries[it->second].captions.push_back(std::move(*caption));
    }
  }
  size_t kept = 0;
  for (size_t i = 0; i < table.entries.size(); ++i) {
    if (table.entries[i].captions.empty()) {
      table.skipped.add(skip::kEmptyCaption, table.entries[i].image);
      continue;
    }
    table.empty_captions += blank_rows[i];
    if (kept != i) table.entries[kept] = std::move(table.entries[i]);
    ++kept;
  }
  table.entries.resize(kept);
  return table;
}

}  // namespace tessera::rils
