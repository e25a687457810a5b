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
#include "rils/data/captions.h"
#include "rils/data/decode.h"
#include "rils/data/image.h"
#include "rils/text/ascii.h"

namespace tessera::rils {
namespace {

using Fields = std::vector<std::string>;

constexpr size_t kSampleRecords = 20;                     // that are read to detect separator, header and columns
constexpr uint64_t kMostTableBytes = uint64_t{64} << 30;  // LAION-400M takes 50 GB
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
  bool numbered = false;  // "NAME.jpg#K", as in Flickr8k's tables
};

/// An image name without the number of its caption.
std::string_view without_number(std::string_view name) {
  const size_t hash = name.rfind('#');
  if (hash == std::string_view::npos || hash + 1 == name.size()) return name;
  const bool digits = std::ranges::all_of(name.substr(hash + 1), [](char c) { return c >= '0' && c <= '9'; });
  return digits ? name.substr(0, hash) : name;
}

/// Whether a field names an image, with or without the number of a caption.
bool names_image(std::string_view field) { return has_image_extension(without_number(trim(field))); }

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
  const auto exact = std::ranges::find_if(header, [&](const auto& h) { return trim(h) == trim(name); });
  if (exact != header.end()) return static_cast<size_t>(exact - header.begin());
  const auto loose =
      std::ranges::find_if(header, [&](const auto& h) { return lower_ascii(trim(h)) == lower_ascii(trim(name)); });
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
  Columns c{count, count, count};
  std::vector<size_t> length(count);
  for (const auto& record : records)
    for (size_t i = 0; i < std::min(count, record.size()); ++i) length[i] += record[i].size();
  for (size_t i = count; i-- > 0;)
    if (names_image(records[0][i])) c.image = i;
  for (size_t i = 0; i < count; ++i)
    if (i != c.image && (c.caption == count || length[i] > length[c.caption])) c.caption = i;
  if (c.image == count || c.caption == count) return std::nullopt;
  return c;
}

Columns find_named_columns(const std::filesystem::path& path, const std::vector<Fields>& records,
                           const TableOptions& o) {
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
    if (!header && !names_image(first[*image]))
      header = records.size() > 1 && records[1].size() > *image && names_image(records[1][*image]);
    return {*image, *caption, first.size(), header};
  }
  const bool defaults = o.image_column == kDefaultImageColumn && o.caption_column == kDefaultCaptionColumn;
  if (defaults && !image && !caption)
    if (auto guessed = guess_columns(records)) return *guessed;
  std::string names;
  for (const auto& name : first) names += (names.empty() ? "" : ", ") + std::string(trim(name));
  throw ConfigError(fmt::format("{}: there is no column '{}'; the first row is: {}", path.string(),
                                image ? o.caption_column : o.image_column, names));
}

Columns find_columns(const std::filesystem::path& path, const std::vector<Fields>& records, const TableOptions& o) {
  Columns columns = find_named_columns(path, records, o);
  // A file may be called "a.jpg#0", so the numbers are dropped only where every image has one.
  const auto rows = std::span(records).subspan(columns.header ? 1 : 0);
  columns.numbered = !rows.empty() && std::ranges::all_of(rows, [&](const Fields& row) {
    return row.size() <= columns.image || without_number(trim(row[columns.image])) != trim(row[columns.image]);
  });
  return columns;
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

/// Whether a field of several lines holds what looks like a row: a quote without an end has taken in the rows after it.
bool holds_a_row(std::string_view field, char separator) {
  if (field.find('\n') == std::string_view::npos) return false;
  if (separator == '\t' && field.find('\t') != std::string_view::npos) return true;
  return std::ranges::any_of(split(field, '\n'), [&](std::string_view line) {
    const auto parts = split(line, separator);
    return parts.size() > 1 && std::ranges::any_of(parts, names_image);
  });
}

/// The number of rows that a record has taken in, or 0.
int64_t swallowed_rows(const Fields& fields, char separator) {
  if (std::ranges::none_of(fields, [&](const auto& f) { return holds_a_row(f, separator); })) return 0;
  int64_t rows = 1;
  for (const auto& field : fields) rows += std::ranges::count(field, '\n');
  return rows;
}

/// The whole text of a table. In UTF-16 it is decoded; otherwise its bytes are kept, since a single bad caption must
/// not spoil the rest.
std::string read_table_text(const std::filesystem::path& path) {
  std::string text = read_file(path, kMostTableBytes);
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
    auto decoded = decode_text(text, TextEncoding::utf_8);
    if (!decoded) throw ConfigError(fmt::format("{}: the table begins as UTF-16 does, but is damaged", path.string()));
    text = std::move(*decoded);
  }
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  if (is_blank(text)) throw ConfigError(fmt::format("{}: the table is empty", path.string()));
  if (std::string_view(text).substr(0, 4096).find('\0') != std::string_view::npos)
    throw ConfigError(
        fmt::format("{}: expected a table in text, found zero bytes, as in UTF-16 without its mark", path.string()));
  return text;
}

/// Collects the rows of a table by image.
class TableBuilder {
 public:
  TableBuilder(CaptionTable& table, TextEncoding fallback) : table_(table), fallback_(fallback) {}

  void add(std::string_view image, std::string_view bytes, const std::string& where) {
    std::string caption;
    try {
      caption = trim(decode_caption(bytes, fallback_));
    } catch (const SampleError& error) {
      table_.skipped.add(error.reason(), fmt::format("{}: {}", where, error.what()));
      return;
    }
    const auto [it, is_new] = index_of_.try_emplace(std::string(image), table_.entries.size());
    if (is_new) {
      table_.entries.push_back({std::string(image), {}});
      blank_rows_.push_back(0);
    }
    if (caption.empty()) {
      ++blank_rows_[it->second];
    } else {
      table_.entries[it->second].captions.push_back(std::move(caption));
    }
  }

  /// Removes the images without a caption.
  void finish() {
    size_t kept = 0;
    for (size_t i = 0; i < table_.entries.size(); ++i) {
      if (table_.entries[i].captions.empty()) {
        table_.skipped.add(skip::kEmptyCaption, table_.entries[i].image);
        continue;
      }
      table_.empty_captions += blank_rows_[i];
      if (kept != i) table_.entries[kept] = std::move(table_.entries[i]);
      ++kept;
    }
    table_.entries.resize(kept);
  }

 private:
  CaptionTable& table_;
  TextEncoding fallback_;
  std::unordered_map<std::string, size_t> index_of_;
  std::vector<int64_t> blank_rows_;  // per image
};

}  // namespace

bool RecordReader::at_end_of_field(size_t at) const {
  return at >= text_.size() || text_[at] == separator_ || text_[at] == '\n' ||
         (text_[at] == '\r' && (at + 1 >= text_.size() || text_[at + 1] == '\n'));
}

bool RecordReader::read_quoted(size_t quote, std::string& field) {
  int64_t lines = 0;
  const size_t limit = std::min(text_.size(), quote + kMaxQuotedField);
  for (size_t i = quote + 1; i < limit; ++i) {
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
    const size_t end = std::min(text_.find_first_not_of(' ', i + 1), text_.size());
    if (!at_end_of_field(end)) return false;
    at_ = end;
    line_ += lines;
    return true;
  }
  return false;
}

std::string RecordReader::read_field() {
  std::string field;
  const size_t first = separator_ == ' ' ? at_ : std::min(text_.find_first_not_of(' ', at_), text_.size());
  if (first < text_.size() && text_[first] == '"') {
    if (read_quoted(first, field)) return field;
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

CaptionTable read_caption_table(const std::filesystem::path& path, const TableOptions& options, TextEncoding fallback) {
  const std::string text = read_table_text(path);
  const char separator = find_separator(path, text, options.separator);
  const Columns columns = find_columns(path, sample_records(text, separator), options);

  CaptionTable table;
  table.root = options.image_root.empty() ? path.parent_path() : options.image_root;
  TableBuilder builder(table, fallback);
  RecordReader reader(text, separator);
  Fields fields;
  if (columns.header) (void)reader.next(fields);
  while (reader.next(fields)) {
    const std::string where = fmt::format("{}:{}", path.filename().string(), reader.line());
    if (const int64_t rows = swallowed_rows(fields, separator); rows > 0) {
      table.skipped.add(skip::kBadRow, where + ": a quote without an end takes in the rows after it", rows);
      continue;
    }
    const auto caption = row_caption(fields, columns, separator);
    if (!caption || is_blank(fields[columns.image])) {
      table.skipped.add(skip::kBadRow, where);
      continue;
    }
    const std::string_view image = trim(fields[columns.image]);
    builder.add(columns.numbered ? without_number(image) : image, *caption, where);
  }
  builder.finish();
  return table;
}

}  // namespace tessera::rils
