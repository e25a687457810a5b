#include "rils/text/vocabulary.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/core/philox.h"
#include "rils/text/unicode.h"

namespace tessera::rils {
namespace {

constexpr size_t kMostMerges = 49152 - 256 - 2;
// The largest unpacked file that is accepted, ten times CLIP's. Checkpoints carry the text in their header, which must
// stay below the 100 MB of its format.
constexpr size_t kMostBytes = size_t{32} << 20;
constexpr std::string_view kWordEnd = "</w>";

/// Bytes in the order of their ids: the printable ones of Latin-1, then the others.
std::vector<uint8_t> byte_order() {
  std::vector<uint8_t> order;
  const auto printable = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
  for (int b = 0; b < 256; ++b) {
    if (printable(b)) order.push_back(static_cast<uint8_t>(b));
  }
  for (int b = 0; b < 256; ++b) {
    if (!printable(b)) order.push_back(static_cast<uint8_t>(b));
  }
  return order;
}

/// Reads a whole file and unpacks it if it is gzipped.
std::string read_unpacked(const std::filesystem::path& path) {
  (void)read_file(path, kMostBytes);  // reports why a file cannot be opened, which zlib does not
  gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) throw IoError(fmt::format("{}: cannot open", path.string()));
  std::string text;
  char buffer[1 << 16];
  int got = 0;
  while ((got = gzread(file, buffer, sizeof buffer)) > 0 && text.size() <= kMostBytes) {
    text.append(buffer, static_cast<size_t>(got));
  }
  int code = Z_OK;
  (void)gzerror(file, &code);
  const int closed = gzclose(file);
  if (got < 0 || (code != Z_OK && code != Z_STREAM_END) || closed != Z_OK) {
    throw IoError(fmt::format("{}: the gzip file is damaged or cut short", path.string()));
  }
  if (text.size() > kMostBytes) throw IoError(fmt::format("{}: the file is too large for a vocabulary", path.string()));
  return text;
}

/// Makes a text from a file printable in a message.
std::string printable(std::string_view text) {
  std::string out(text);
  std::ranges::replace_if(
      out, [](char c) { return c < ' ' || c > '~'; }, '?');
  return out;
}

}  // namespace

const std::vector<std::string>& byte_characters() {
  static const std::vector<std::string> characters = [] {
    std::vector<std::string> table(256);
    const std::vector<uint8_t> order = byte_order();
    for (size_t i = 0; i < order.size(); ++i) {
      unicode::append(table[order[i]], i < 188 ? order[i] : 256 + static_cast<uint32_t>(i) - 188);
    }
    return table;
  }();
  return characters;
}

namespace {

/// Reads a symbol of a merges file as bytes and a flag for the end of a word. Throws IoError.
std::pair<std::string, bool> decode_symbol(std::string_view symbol, const std::string& where) {
  static const std::unordered_map<std::string, uint8_t> bytes = [] {
    std::unordered_map<std::string, uint8_t> map;
    for (size_t b = 0; b < 256; ++b) map[byte_characters()[b]] = static_cast<uint8_t>(b);
    return map;
  }();
  const bool end = symbol.ends_with(kWordEnd);
  if (end) symbol.remove_suffix(kWordEnd.size());
  std::string out;
  while (!symbol.empty()) {
    const size_t length = (static_cast<uint8_t>(symbol[0]) & 0x80) != 0 ? 2 : 1;
    const auto it = bytes.find(std::string(symbol.substr(0, length)));
    if (it == bytes.end()) throw IoError(fmt::format("{}: a symbol has a character that stands for no byte", where));
    out += static_cast<char>(it->second);
    symbol.remove_prefix(std::min(length, symbol.size()));
  }
  if (out.empty()) throw IoError(fmt::format("{}: expected two symbols, found an empty one", where));
  return {out, end};
}

std::string symbol_key(std::string_view bytes, bool end) { return std::string(bytes) + (end ? '\1' : '\0'); }

}  // namespace

std::string encode_symbol(std::string_view bytes, bool end) {
  std::string text;
  for (const char b : bytes) text += byte_characters()[static_cast<uint8_t>(b)];
  if (end) text += kWordEnd;
  return text;
}

Vocabulary::Vocabulary(std::vector<std::pair<std::string, std::string>> merges, const std::string& name,
                       bool blank_line)
    : merges_(std::move(merges)), byte_ids_(256), blank_line_(blank_line) {
  if (merges_.size() > kMostMerges) merges_.resize(kMostMerges);
  std::unordered_map<std::string, int32_t> ids;
  const auto add = [&](const std::string& bytes, bool end) {
    ids[symbol_key(bytes, end)] = static_cast<int32_t>(symbols_.size());  // of equal symbols the last one is used
    symbols_.push_back(bytes);
    ends_.push_back(end);
  };
  const std::vector<uint8_t> order = byte_order();
  for (const bool end : {false, true}) {
    for (size_t i = 0; i < order.size(); ++i) {
      byte_ids_[order[i]] = static_cast<int32_t>(i);
      add(std::string(1, static_cast<char>(order[i])), end);
    }
  }
  std::vector<std::pair<std::string, std::string>> keys;
  uint64_t hash = fnv1a64("");
  for (size_t i = 0; i < merges_.size(); ++i) {
    const std::string where = fmt::format("{}:{}", name, i + 2);
    const auto [left, left_end] = decode_symbol(merges_[i].first, where);
    const auto [right, right_end] = decode_symbol(merges_[i].second, where);
    if (left_end) throw IoError(fmt::format("{}: the left symbol must not end a word", where));
    keys.emplace_back(symbol_key(left, false), symbol_key(right, right_end));
    add(left + right, right_end);
    hash = hash * 31 + fnv1a64(merges_[i].first + " " + merges_[i].second);
  }
  symbols_.insert(symbols_.end(), blank_line ? 3 : 2, "");
  ends_.resize(symbols_.size());
  merged_.resize(merges_.size());
  for (size_t i = 0; i < merges_.size(); ++i) {
    merged_[i] = ids.at(symbol_key(symbols_[512 + i], ends_[512 + i]));
    const auto left = ids.find(keys[i].first);
    const auto right = ids.find(keys[i].second);
    if (left == ids.end() || right == ids.end()) continue;  // no merge produces these symbols
    ranks_[static_cast<uint64_t>(left->second) << 32 | static_cast<uint32_t>(right->second)] = static_cast<int32_t>(i);
  }
  digest_ = fmt::format("{:016x}", hash);
}

Vocabulary Vocabulary::load(const std::filesystem::path& path) { return parse(read_unpacked(path), path.string()); }

Vocabulary Vocabulary::parse(std::string_view text, const std::string& name) {
  std::vector<std::pair<std::string, std::string>> merges;
  size_t line = 0;
  for (size_t begin = 0; begin < text.size() && merges.size() < kMostMerges;) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view row = text.substr(begin, end - begin);
    begin = end + 1;
    if (!row.empty() && row.back() == '\r') row.remove_suffix(1);
    if (++line == 1 || (row.empty() && begin >= text.size())) continue;  // the header, or the end of the file
    const size_t blank = row.find(' ');
    if (blank == std::string_view::npos || row.find(' ', blank + 1) != std::string_view::npos || blank == 0 ||
        blank + 1 == row.size()) {
      throw IoError(fmt::format("{}:{}: expected two symbols and a blank between them, found \"{}\"", name, line,
                                printable(row.substr(0, 40))));
    }
    merges.emplace_back(row.substr(0, blank), row.substr(blank + 1));
  }
  if (line == 0) throw IoError(fmt::format("{}: expected a merges file, found an empty file", name));
  const bool blank_line = text.ends_with('\n') && line > 1 && merges.size() < kMostMerges;
  return {std::move(merges), name, blank_line};
}

std::string Vocabulary::text() const {
  std::string text = "#version: 0.2 byte-level BPE merges";
  for (const auto& [left, right] : merges_) text.append("\n").append(left).append(" ").append(right);
  if (blank_line_) text += merges_.empty() ? "\n\n" : "\n";
  return text;
}

void Vocabulary::save(const std::filesystem::path& path) const { write_file_atomically(path, text()); }

void Vocabulary::save_gzipped(const std::filesystem::path& path) const {
  std::string plain = text();
  constexpr int kGzip = 16, kWindow = 15, kMemory = 8;
  z_stream stream{};
  if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, kWindow + kGzip, kMemory, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw IoError(fmt::format("{}: the vocabulary cannot be compressed", path.string()));
  }
  std::string packed(deflateBound(&stream, plain.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(plain.data());
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  const bool whole = deflate(&stream, Z_FINISH) == Z_STREAM_END;
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  if (!whole) throw IoError(fmt::format("{}: the vocabulary cannot be compressed", path.string()));
  write_file_atomically(path, packed);
}

int32_t Vocabulary::rank(int32_t left, int32_t right) const {
  const auto it = ranks_.find(static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right));
  return it == ranks_.end() ? -1 : it->second;
}

}  // namespace tessera::rils
