#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "rils/data/skip_counts.h"
#include "rils/text/encoding.h"

namespace tessera::rils {

inline constexpr const char* kDefaultImageColumn = "filepath";
inline constexpr const char* kDefaultCaptionColumn = "title";

/// How a table of images and captions is read.
struct TableOptions {
  /// A column's name in the header, or its number, counted from 1. The defaults are open_clip's names. When the table
  /// has no column of the default name, other usual names are tried; without a header the columns are found by content.
  std::string image_column = kDefaultImageColumn;
  std::string caption_column = kDefaultCaptionColumn;
  /// One character, or the two characters "\t". Empty: tab, comma, semicolon or bar is detected.
  std::string separator;
  /// The folder of relative image paths. Empty: the folder of the table.
  std::filesystem::path image_root;
};

/// The different images of a table, in the order of their first rows, each with its captions in the order of the rows.
struct CaptionTable {
  struct Entry {
    std::string image;  // as written in the table
    std::vector<std::string> captions;
  };
  std::vector<Entry> entries;
  std::filesystem::path root;
  SkipCounts skipped;          // bad rows, captions that cannot be decoded, images without any caption
  int64_t empty_captions = 0;  // rows with a blank caption whose image has another caption

  [[nodiscard]] std::filesystem::path path(const Entry& entry) const { return root / entry.image; }
};

/// Reads a CSV or TSV table with quotes as in RFC 4180; a field that is only partly quoted is taken literally. White
/// space around fields is dropped, as is `#NUMBER` after the image names of Flickr8k's tables. The text is decoded by
/// the rules of decode_text, a table in UTF-16 as a whole, others caption by caption.
///
/// Skipped and counted are rows with too few or too many fields, captions that cannot be decoded, and rows that a quote
/// without an end takes in: a field of several lines one of which looks like a row counts as that many rows. Throws
/// IoError when the file cannot be read or has more than 64 GiB, and ConfigError when the separator or a column cannot
/// be found; the message then lists the columns.
[[nodiscard]] CaptionTable read_caption_table(const std::filesystem::path& path, const TableOptions& options,
                                              TextEncoding fallback = TextEncoding::utf_8);

/// Splits a text into records of fields. Blanks around a quoted field are dropped.
class RecordReader {
 public:
  RecordReader(std::string_view text, char separator) : text_(text), separator_(separator) {}
  /// Reads the next record; false at the end. Blank lines are ignored.
  bool next(std::vector<std::string>& fields);
  /// The line on which the last record began, counted from 1.
  [[nodiscard]] int64_t line() const { return record_line_; }

 private:
  std::string read_field();
  bool read_quoted(size_t quote, std::string& field);
  [[nodiscard]] bool at_end_of_field(size_t at) const;

  std::string_view text_;
  char separator_;
  size_t at_ = 0;
  int64_t line_ = 1, record_line_ = 0;
};

}  // namespace tessera::rils
