#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tessera::rils {

/// The digest of the 48,894 merges of CLIP's own vocabulary.
inline constexpr std::string_view kClipDigest = "b4d1f1b452cd016a";

/// A byte-level BPE vocabulary in CLIP's form: 256 byte symbols, the same 256 at the end of a word, one symbol per
/// merge, then start of text and end of text. Symbols are stored as bytes with a flag for the end of a word.
class Vocabulary {
 public:
  /// Reads a merges file in CLIP's format, plain or gzipped: a header line, then two symbols a line in order of rank.
  /// Lines after the 48,894 merges that CLIP uses are ignored; a file of more than 32 MiB, packed
  /// or unpacked, is refused. Throws IoError with path, line, expected and found.
  [[nodiscard]] static Vocabulary load(const std::filesystem::path& path);
  /// Reads the text of such a file, unpacked. Throws IoError as load does, with `name` in the message.
  [[nodiscard]] static Vocabulary parse(std::string_view text, const std::string& name);
  /// Makes a vocabulary of merges in the notation of such a file. Throws IoError as load does, with `name` in the
  /// message. `blank_line`: the file ends in a line break, for which CLIP's reader counts one more symbol that is never
  /// used.
  Vocabulary(std::vector<std::pair<std::string, std::string>> merges, const std::string& name, bool blank_line = false);

  /// The text of a merges file from which parse() makes an equal vocabulary.
  [[nodiscard]] std::string text() const;
  /// Writes this text atomically: plain, without a line break at its end unless the vocabulary was read with one.
  void save(const std::filesystem::path& path) const;
  /// The same as gzip, which open_clip's tokenizer asks for.
  void save_gzipped(const std::filesystem::path& path) const;

  [[nodiscard]] int32_t size() const { return static_cast<int32_t>(symbols_.size()); }
  [[nodiscard]] int32_t sot() const { return size() - 2; }
  /// The largest id.
  [[nodiscard]] int32_t eot() const { return size() - 1; }
  /// The FNV-1a hash of the merges in 16 hexadecimal digits. Checkpoints record it.
  [[nodiscard]] const std::string& digest() const { return digest_; }

  /// The id of a single byte, at the end of a word or elsewhere.
  [[nodiscard]] int32_t byte_id(uint8_t byte, bool end) const { return byte_ids_[byte] + (end ? 256 : 0); }
  /// The rank of the merge of two neighbouring ids, or −1.
  [[nodiscard]] int32_t rank(int32_t left, int32_t right) const;
  /// The id that results from a merge.
  [[nodiscard]] int32_t merged(int32_t rank) const { return merged_[static_cast<size_t>(rank)]; }
  /// The bytes of a symbol; "" for start and end of text.
  [[nodiscard]] std::string_view bytes(int32_t id) const { return symbols_.at(static_cast<size_t>(id)); }
  [[nodiscard]] bool ends_word(int32_t id) const { return ends_.at(static_cast<size_t>(id)); }

 private:
  std::vector<std::pair<std::string, std::string>> merges_;
  std::vector<int32_t> byte_ids_, merged_;
  std::vector<std::string> symbols_;
  std::vector<bool> ends_;
  std::unordered_map<uint64_t, int32_t> ranks_;
  std::string digest_;
  bool blank_line_;
};

/// A symbol in the notation of merges files.
[[nodiscard]] std::string encode_symbol(std::string_view bytes, bool ends_word);

/// For each byte, the printable character in UTF-8 that stands for it in merges files (GPT-2's table).
[[nodiscard]] const std::vector<std::string>& byte_characters();

}  // namespace tessera::rils
