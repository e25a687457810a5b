#include "rils/data/webdataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "engine/core/atomic_file.h"
#include "engine/core/thread.h"
#include "rils/data/captions.h"
#include "rils/data/class_names.h"
#include "rils/data/tar.h"
#include "rils/text/ascii.h"

namespace tessera::rils {
namespace {

std::vector<std::string> split_keys(std::string_view keys) {
  std::vector<std::string> parts;
  for (const std::string_view key : split(keys, ';'))
    if (!key.empty()) parts.emplace_back(key);
  return parts;
}

/// The key and the lower-case extension of a member, or nullopt for a name that does not belong to a sample.
std::optional<std::pair<std::string, std::string>> split_name(std::string_view name) {
  if (name.starts_with("./")) name.remove_prefix(2);
  const size_t slash = name.rfind('/');
  const size_t base = slash == std::string_view::npos ? 0 : slash + 1;
  const size_t dot = name.find('.', base);
  if (dot == std::string_view::npos || dot == base) return std::nullopt;
  if (name.starts_with("__") && name.ends_with("__")) return std::nullopt;
  return std::pair{std::string(name.substr(0, dot)), lower_ascii(name.substr(dot + 1))};
}

/// Reads `classnames.txt` from the shards' folder or the folder above (CLIP_benchmark's layout).
std::vector<std::string> class_names_beside(const std::filesystem::path& folder) {
  for (const auto& path : {folder / "classnames.txt", folder / ".." / "classnames.txt"}) {
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored)) return read_class_names(path);
  }
  return {};
}

std::string as_text(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

/// The file of a shard with, if it is gzipped, its content.
class WebDataset::OpenShard {
 public:
  explicit OpenShard(const Shard& shard) : file_(shard.path) {
    if (shard.gzip) content_.emplace(file_, *shard.gzip);
  }
  [[nodiscard]] const ByteSource& bytes() const { return content_ ? static_cast<const ByteSource&>(*content_) : file_; }

 private:
  FileSource file_;
  std::optional<GzipSource> content_;
};

/// The sample whose members are being read.
struct WebDataset::Group {
  std::string key;
  Entry entry;
  size_t image_rank = 0;  // index of its extension in image_keys_
  bool linked = false;    // a member is a link
  bool repeats = false;   // it follows another group of its key
  std::vector<std::string> extensions;
  /// What was found under a name with dots before its extension, by the name. It belongs to no sample.
  struct Dotted {
    std::string name;
    bool image = false, other = false;
  };
  std::vector<Dotted> dotted;
};

/// A shard while its members are being read.
struct WebDataset::Indexing {
  Shard& shard;
  Group group;
  struct Fragment {
    std::string key;
    Entry parts;
    const char* reason;
    bool linked;
  };
  std::vector<Fragment> fragments;  // groups that are no samples

  /// Counts samples of a key under a reason.
  void skip(const char* reason, std::string_view key, std::string_view detail, int64_t count = 1) {
    const auto name = fmt::format("{}/{}", shard.path.filename().string(), key);
    shard.skipped.add(reason, detail.empty() ? name : fmt::format("{}: {}", name, detail), count);
  }
};

std::string_view WebDataset::Shard::key(size_t entry) const {
  const size_t begin = entry == 0 ? 0 : entries[entry - 1].key_end;
  return std::string_view(keys).substr(begin, entries[entry].key_end - begin);
}

WebDataset::WebDataset(const std::vector<std::filesystem::path>& shards, const DatasetOptions& options)
    : options_(options),
      image_keys_(split_keys(options.image_key)),
      text_key_(lower_ascii(options.text_key)),
      shards_(shards.size()) {
  if (image_keys_.empty()) throw ConfigError("image_key: expected extensions such as jpg;png, found none");
  for (size_t i = 0; i < shards.size(); ++i) shards_[i].path = shards[i];
  // Shards are indexed in parallel and joined in order.
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    for (size_t i = next++; i < shards_.size(); i = next++) {
      try {
        index_shard(shards_[i]);
      } catch (...) {
        const std::lock_guard lock(mutex);
        failure = std::current_exception();
      }
    }
  };
  std::vector<std::jthread> threads;
  const size_t helpers = std::min<size_t>(static_cast<size_t>(std::max(options.threads, 1)), shards_.size());
  for (size_t i = 1; i < helpers; ++i) threads.push_back(start_thread("a reader of shards", work));
  work();
  threads.clear();
  if (failure) std::rethrow_exception(failure);
  int64_t end = 0;
  SkipCounts remarks;
  for (const Shard& shard : shards_) {
    ends_.push_back(end += static_cast<int64_t>(shard.entries.size()));
    skipped_.merge(shard.skipped);
    remarks.merge(shard.remarks);
  }
  for (const auto& [text, remark] : remarks.entries()) {
    const auto others = remark.count > 1 ? fmt::format(" and {} more", remark.count - 1) : std::string();
    notes_.push_back(fmt::format("{}{}: {}", remark.example, others, text));
  }
  if (options.need_label && !shards.empty()) class_names_ = class_names_beside(shards[0].parent_path());
}

/// When a shard is cut short or damaged, the sample that is being read is lost and counted; the samples before it are
/// used.
void WebDataset::index_shard(Shard& shard) const {
  const std::string file = shard.path.filename().string();
  Indexing indexing{shard, {}, {}};
  try {
    const FileSource source(shard.path);
    if (is_gzip(source)) shard.gzip = std::make_unique<const GzipIndex>(source);
    const std::string damage = shard.gzip ? shard.gzip->damage() : "";
    try {
      walk_members(indexing, OpenShard(shard).bytes());
      if (!damage.empty()) shard.remarks.add(damage + "; samples may be missing", shard.path.string());
    } catch (const SampleError& error) {
      shard.skipped.add(error.reason(),
                        fmt::format("{}: {}{}{}", file, error.what(), damage.empty() ? "" : "; ", damage));
    }
    if (shard.gzip)
      shard.remarks.add("compressed shards are read slowly; unpack them to plain tar for training",
                        shard.path.string());
  } catch (const IoError& error) {
    shard.skipped.add(skip::kUnreadable, error.what());
  }
  count_fragments(indexing);
  shard.entries.shrink_to_fit();
}

void WebDataset::walk_members(Indexing& indexing, const ByteSource& source) const {
  TarReader reader(source);
  Group& group = indexing.group;
  try {
    if (source.size() == 0) throw TarCutError("the archive is an empty file");
    while (const auto member = reader.next()) {
      auto name = split_name(member->name);
      if (!name) continue;
      const bool repeated =
          name->first == group.key && std::ranges::find(group.extensions, name->second) != group.extensions.end();
      if (name->first != group.key || repeated) {
        finish_group(indexing, repeated);
        group.key = std::move(name->first);
      }
      add_member(group, name->second, *member);
    }
    if (!reader.terminated() && defect(group.entry) != nullptr)
      throw TarCutError(fmt::format("the archive is cut short after '{}'", group.key));
  } catch (const IoError& error) {
    // The current group is lost if the broken member may belong to it, and complete if it belongs to another group.
    const auto broken = split_name(reader.current_name());
    if (broken ? broken->first != group.key : defect(group.entry) == nullptr) finish_group(indexing, false);
    const bool cut = dynamic_cast<const TarCutError*>(&error) != nullptr;
    throw SampleError(cut ? skip::kCutShard : skip::kCorruptShard, error.what());
  }
  finish_group(indexing, false);
  SkipCounts& remarks = indexing.shard.remarks;
  const std::string path = indexing.shard.path.string();
  if (!reader.terminated()) remarks.add("the archive has no end marker; samples may be missing", path);
  if (reader.joined())
    remarks.add("archives joined end to end; programs that stop at the first end marker see less", path);
  if (reader.trailing_bytes() > 0) remarks.add("bytes after the end marker are no archive and are not read", path);
}

void WebDataset::add_member(Group& group, std::string_view extension, const TarMember& member) const {
  group.extensions.emplace_back(extension);
  group.linked = group.linked || member.link;
  if (member.link) return;
  Part part{static_cast<uint32_t>(member.offset / 512), static_cast<uint32_t>(member.size)};
  constexpr uint64_t kMost = std::numeric_limits<uint32_t>::max();
  if (member.size > kMost || member.offset / 512 > kMost) part = {kTooLarge, static_cast<uint32_t>(kMost)};
  const auto image = std::ranges::find(image_keys_, extension);
  if (image != image_keys_.end()) {
    const auto rank = static_cast<size_t>(image - image_keys_.begin());
    if (!group.entry.image.exists() || rank < group.image_rank) group.entry.image = part, group.image_rank = rank;
  } else if (extension == text_key_) {
    group.entry.text = part;
  } else if (extension == "json") {
    group.entry.json = part;
  } else if (extension == "cls") {
    group.entry.label = part;
  } else if (const size_t dot = extension.rfind('.'); dot != std::string_view::npos) {
    const std::string_view name = extension.substr(0, dot), last = extension.substr(dot + 1);
    auto known = std::ranges::find(group.dotted, name, &Group::Dotted::name);
    if (known == group.dotted.end()) known = group.dotted.insert(known, {std::string(name)});
    const bool is_image = std::ranges::find(image_keys_, last) != image_keys_.end();
    known->image = known->image || is_image;
    known->other = known->other || last == text_key_ || last == "json" || last == "cls";
  }
}

const char* WebDataset::defect(const Entry& e) const {
  if (!e.image.exists()) return skip::kNoImage;
  if (e.image.block == kTooLarge) return skip::kBrokenImage;
  if (options_.need_caption && !e.text.exists() && !e.json.exists()) return skip::kNoCaption;
  if (options_.need_label && !e.label.exists()) return skip::kNoLabel;
  return nullptr;
}

/// Keeps or counts the current group and begins a new one. `repeated`: the same key goes on with an extension that the
/// group has already.
void WebDataset::finish_group(Indexing& indexing, bool repeated) const {
  Group group;
  std::swap(group, indexing.group);
  indexing.group.repeats = repeated;
  if (group.key.empty()) return;
  Shard& shard = indexing.shard;
  const char* reason = defect(group.entry);
  // Beside an image, "x.mask.png" is a further part of the sample; with a caption of its own it is a sample that is
  // lost.
  const bool has_image = group.entry.image.exists();
  const auto lost =
      std::ranges::count_if(group.dotted, [&](const auto& d) { return d.image && (d.other || !has_image); });
  if (lost > 0) {
    const auto example = std::ranges::find_if(group.dotted, &Group::Dotted::image);
    indexing.skip(skip::kDottedName, fmt::format("{}.{}", group.key, example->name),
                  "the extension begins at the first dot of a file name; rename files without other dots", lost);
  }
  if (reason != nullptr) {
    if (lost > 0 && !has_image) return;
    if (repeated || group.repeats) {
      indexing.skip(reason, group.key, "the shard has several samples of this key");
    } else {
      indexing.fragments.push_back({std::move(group.key), group.entry, reason, group.linked});
    }
    return;
  }
  if (shard.keys.size() + group.key.size() > std::numeric_limits<uint32_t>::max())
    throw IoError("the keys of a shard take more than 4 GiB");
  shard.keys += group.key;
  shard.entries.push_back(group.entry);
  shard.entries.back().key_end = static_cast<uint32_t>(shard.keys.size());
}

/// Counts the groups that are no samples. Those that would be one together are counted as one: their members do not
/// follow each other, or lie in different folders.
void WebDataset::count_fragments(Indexing& indexing) const {
  const auto& fragments = indexing.fragments;
  if (fragments.empty()) return;
  const Shard& shard = indexing.shard;
  std::unordered_set<std::string_view> used;
  for (size_t i = 0; i < shard.entries.size(); ++i) used.insert(shard.key(i));
  std::vector<std::vector<size_t>> families;  // by the last part of the key, in order of appearance
  std::unordered_map<std::string_view, size_t> family_of;
  bool unread = false;
  for (size_t i = 0; i < fragments.size(); ++i) {
    const std::string_view key = fragments[i].key;
    if (used.contains(key)) {
      unread = true;
      continue;
    }
    const auto [it, is_new] = family_of.try_emplace(key.substr(key.rfind('/') + 1), families.size());
    if (is_new) families.emplace_back();
    families[it->second].push_back(i);
  }
  if (unread)
    indexing.shard.remarks.add("members that lie apart from the others of their sample are not read",
                               shard.path.string());
  for (const auto& family : families) {
    Entry whole;
    int64_t images = 0;
    for (const size_t i : family) {
      const Entry& parts = fragments[i].parts;
      images += parts.image.exists() ? 1 : 0;
      if (parts.image.exists()) whole.image = parts.image;
      if (parts.text.exists()) whole.text = parts.text;
      if (parts.json.exists()) whole.json = parts.json;
      if (parts.label.exists()) whole.label = parts.label;
    }
    if (family.size() > 1 && defect(whole) == nullptr) {
      indexing.skip(skip::kApart, fragments[family[0]].key,
                    "the members of a sample must follow each other under one path; tar --sort=name writes them so",
                    images);
      continue;
    }
    std::unordered_set<std::string_view> counted;
    for (const size_t i : family)
      if (const auto& f = fragments[i]; counted.insert(f.key).second)
        indexing.skip(f.reason, f.key, f.linked ? "a member is a link, and links are not followed" : "");
  }
}

std::pair<const WebDataset::Shard*, size_t> WebDataset::locate(int64_t index) const {
  const auto [shard, local] = part_of(ends_, index);
  return {&shards_[shard], static_cast<size_t>(local)};
}

std::string WebDataset::name(int64_t index) const {
  const auto [shard, entry] = locate(index);
  return fmt::format("{}/{}", shard->path.filename().string(), shard->key(entry));
}

int64_t WebDataset::bytes(int64_t index) const {
  const auto [shard, at] = locate(index);
  const Entry& entry = shard->entries[at];
  return int64_t{entry.image.size} + entry.text.size + entry.json.size + entry.label.size;
}

Sample WebDataset::load(int64_t index, bool with_image) const {
  const auto [shard, at] = locate(index);
  const Entry& entry = shard->entries[at];
  Sample sample;
  sample.key = shard->key(at);
  try {
    if (options_.need_caption) check_text_sizes(entry.text.size, entry.json.size);
    const OpenShard open(*shard);
    std::vector<std::byte> json, text, label;
    struct Wanted {
      Part part;
      std::vector<std::byte>& bytes;
      uint64_t most = std::numeric_limits<uint32_t>::max();
    };
    std::vector<Wanted> wanted{{entry.json, json, kLongestMetadata}, {entry.text, text, kLongestCaption}};
    if (with_image) wanted.push_back({entry.image, sample.encoded});
    if (options_.need_label) wanted.push_back({entry.label, label, kLongestCaption});
    // In the order of the file, so that a gzipped shard is unpacked once.
    std::map<uint32_t, const Wanted*> ordered;
    for (const Wanted& w : wanted)
      if (w.part.exists() && w.part.block != kTooLarge && w.part.size <= w.most) ordered.emplace(w.part.block, &w);
    for (const auto& [block, w] : ordered) w->bytes = open.bytes().read(uint64_t{block} * 512, w->part.size);
    sample.captions = captions_for(options_, as_text(text), entry.text.exists(), as_text(json));
    if (options_.need_metadata) sample.metadata = as_text(json);
    if (entry.label.exists() && options_.need_label) sample.label = parse_label(as_text(label));
  } catch (const SampleError&) {
    throw;
  } catch (const IoError& error) {
    throw SampleError(skip::kUnreadable, error.what());
  }
  return sample;
}

}  // namespace tessera::rils
