// Tables, captions and labels, IDX files, lists of sources, saved positions.
#include <algorithm>
#include <array>
#include <cstring>

#include "rils/data/captions.h"
#include "rils/data/idx.h"
#include "rils/data/image.h"
#include "rils/data/loader.h"
#include "rils/data/sources.h"
#include "rils/data/table.h"
#include "rils/text/ascii.h"
#include "rils/text/encoding.h"
#include "tests/fuzz/harness.h"

namespace tessera::fuzz {
namespace {

using namespace rils;

void check_captions(const std::vector<std::string>& captions) {
  expect(std::ranges::all_of(captions, [](const auto& c) { return is_utf8(c) && trim(c) == c && !c.empty(); }),
         "captions in UTF-8 that are not blank");
}

TESSERA_FUZZ(table) {
  const unsigned choice = take_choice(input);
  TableOptions options;
  options.separator = std::array{"", ",", "\\t", ";"}[choice & 3];
  if ((choice & 4) != 0) options.image_column = "1";
  if ((choice & 8) != 0) options.caption_column = "2";
  const auto path = file((choice & 16) != 0 ? "table.tsv" : "table.csv", input);
  const auto fallback = (choice & 32) != 0 ? TextEncoding::windows_1252 : TextEncoding::utf_8;
  const CaptionTable table = read_caption_table(path, options, fallback);
  for (const CaptionTable::Entry& entry : table.entries) {
    expect(!trim(entry.image).empty() && !entry.captions.empty(), "images with captions");
    check_captions(entry.captions);
  }
}

using Records = std::vector<std::vector<std::string>>;

Records records_of(std::string_view text, char separator) {
  RecordReader reader(text, separator);
  Records records;
  std::vector<std::string> fields;
  while (reader.next(fields)) records.push_back(fields);
  return records;
}

TESSERA_FUZZ(records) {
  const char separator = std::array{',', '\t', ';', '|'}[take_choice(input) & 3];
  const Records records = records_of(input, separator);
  std::string quoted;
  for (const auto& fields : records) {
    for (size_t i = 0; i < fields.size(); ++i) {
      if (i > 0) quoted += separator;
      quoted += '"';
      for (const char c : fields[i]) quoted.append(c == '"' ? 2 : 1, c);
      quoted += '"';
    }
    quoted += '\n';
  }
  expect(records_of(quoted, separator) == records, "quoted fields that are read as they were written");
}

TESSERA_FUZZ(captions) {
  const unsigned choice = take_choice(input);
  const auto parts = parts_of(input, 2);
  const auto fallback = (choice & 1) != 0 ? TextEncoding::windows_1252 : TextEncoding::utf_8;
  (void)accepts<SampleError>([&] { check_captions(parse_captions(parts[0], parts[1], (choice & 2) != 0, fallback)); });
  try {
    require_caption({}, (choice & 4) != 0, parts[1]);
  } catch (const SampleError& error) {
    expect(std::ranges::none_of(std::string(error.what()), [](unsigned char c) { return c < 0x20; }), "one line");
  }
  const int32_t label = parse_label(parts[0]);
  expect(label >= 0 && parse_label(std::to_string(label)) == label, "a label that is a number");
}

/// Labels for as many images as an IDX file has: zeros.
std::string labels_for(const IdxArray& images) {
  const auto count = static_cast<uint32_t>(images.dims.at(0));
  std::string labels("\0\0\x08\x01", 4);
  for (int shift = 24; shift >= 0; shift -= 8) labels.push_back(static_cast<char>(count >> shift));
  return labels + std::string(count, '\0');
}

TESSERA_FUZZ(idx) {
  const auto path = file("a-images-idx3-ubyte", input);
  const IdxArray array = read_idx(path);
  int64_t count = 1;
  for (const int64_t extent : array.dims) count *= extent;
  expect(static_cast<int64_t>(array.values.size()) == count, "as many values as the header says");
  if (array.dims[0] > 1000) return;
  (void)file("a-labels-idx1-ubyte", labels_for(array));
  const IdxDataset data(path);
  for (int64_t i = 0; i < std::min<int64_t>(data.size(), 3); ++i) {
    expect(data.load(i, true).decoded->pixels.size() == static_cast<size_t>(3 * array.dims[1] * array.dims[2]),
           "its pixels");
  }
}

TESSERA_FUZZ(sources) {
  const auto names = parts_of(input, 3);
  const auto less = [&](size_t a, size_t b) { return natural_less(names[a], names[b]); };
  expect(!less(0, 0) && !(less(0, 1) && less(1, 0)), "an order");
  expect(!(less(0, 1) && less(1, 2)) || less(0, 2), "an order of three");
  if (names[0].find('\0') != std::string_view::npos) return;  // neither arguments nor paths have zero bytes
  size_t bytes = 0;
  for (const std::string& word : expand_braces(names[0])) bytes += word.size();
  expect(bytes <= size_t{256} << 20, "a bounded list");
}

TESSERA_FUZZ(loader_state) {
  const LoaderState state = LoaderState::from_json(input);
  expect(LoaderState::from_json(state.to_json()) == state, "a position that is read as it was written");
}

}  // namespace
}  // namespace tessera::fuzz
