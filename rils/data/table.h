#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "rils/data/skip_counts.h"

namespace tessera::rils {

inline constexpr const char* kDefaultImageColumn = "filepath";
inline constexpr const char* kDefaultCaptionColumn = "title";

/// How a table of images and captions is read.
struct TableOptions {
  /// A column's name in the header, or its number counted from 1. The defaults are open_clip's; where the table has no
  /// such column, other usual names are tried, and a table without header is understood by its content.
  std::string image_column = kDefaultImageColumn;
  std::string caption_column = kDefaultCaptionColumn;
  /// One character, or "\t" spelled out; empty: detected among tab, comma, semicolon and bar.
  std::string separator;
  /// What relative image paths are relative to; empty: the folder of the table.
  std::filesystem::path image_root;
};

/// The distinct images of a table in the order of their first rows, each with its captions in the order of the rows.
struct CaptionTable {
  struct Entry {
    std::string image;  // as written in the table
    std::vector<std::string> captions;
  };
  std::vector<Entry> entries;
  std::filesystem::path root;
  SkipCounts skipped;          // rows with too few or too many fields, images without any caption
  int64_t empty_captions = 0;  // rows whose caption is blank while the image has another one

  [[nodiscard]] std::filesystem::path path(const Entry& entry) const { return root / entry.image; }
};

/// Reads a CSV or TSV table with quotes as in RFC 4180 (a field that is not wholly quoted is taken as it stands).
/// UTF-8, a byte order mark is passed over. Throws IoError when the file cannot be read, ConfigError when columns or
/// separator cannot be found; the message lists the columns there are.
[[nodiscard]] CaptionTable read_caption_table(const std::filesystem::path& path, const TableOptions& options);

/// Splits a text into records of fields, one record a call.
class RecordReader {
 public:
  RecordReader(std::string_view text, char separator) : text_(text), separator_(separator) {}
  /// False at the end. Blank lines are passed over.
  bool next(std::vector<std::string>& fields);
  /// Line of the record that was read last, counted from 1.
  [[nodiscard]] int64_t line() const { return record_line_; }

 private:
  std::string read_field();
  bool read_quoted(std::string& field);
  [[nodiscard]] bool at_end_of_field(size_t at) const;

  std::string_view text_;
  char separator_;
  size_t at_ = 0;
  int64_t line_ = 1, record_line_ = 0;
};

}  // namespace tessera::rils
