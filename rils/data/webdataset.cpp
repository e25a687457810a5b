#include "rils/data/webdataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <limits>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "engine/core/atomic_file.h"
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

/// The sample whose members are being read.
struct WebDataset::Group {
  std::string key;
  Entry entry;
  size_t image_rank = 0;  // index of its extension in image_keys_
  bool too_large = false;
};

std::string_view WebDataset::Shard::key(size_t entry) const {
  const size_t begin = entry == 0 ? 0 : entries[entry - 1].key_end;
  return std::string_view(keys).substr(begin, entries[entry].key_end - begin);
}

WebDataset::WebDataset(const std::vector<std::filesystem::path>& shards, const DatasetOptions& options)
    : options_(options), image_keys_(split_keys(options.image_key)), shards_(shards.size()) {
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
  for (size_t i = 1; i < helpers; ++i) threads.emplace_back(work);
  work();
  threads.clear();
  if (failure) std::rethrow_exception(failure);
  int64_t end = 0;
  for (const Shard& shard : shards_) {
    ends_.push_back(end += static_cast<int64_t>(shard.entries.size()));
    skipped_.merge(shard.skipped);
    notes_.insert(notes_.end(), shard.notes.begin(), shard.notes.end());
  }
  if (options.need_label && !shards.empty()) class_names_ = class_names_beside(shards[0].parent_path());
}

/// When a shard is cut short or damaged, the sample that is being read is lost and counted; the samples before it are
/// used.
void WebDataset::index_shard(Shard& shard) const {
  const std::string file = shard.path.filename().string();
  Group group;
  try {
    const FileSource source(shard.path);
    walk_members(shard, source, group);
  } catch (const SampleError& error) {
    shard.skipped.add(error.reason(), fmt::format("{}: {}", file, error.what()));
  } catch (const IoError& error) {
    shard.skipped.add(skip::kUnreadable, error.what());
  }
  shard.entries.shrink_to_fit();
}

void WebDataset::walk_members(Shard& shard, const ByteSource& source, Group& group) const {
  TarReader reader(source);
  try {
    if (source.size() == 0) throw TarCutError("the archive is an empty file");
    while (const auto member = reader.next()) {
      auto name = split_name(member->name);
      if (!name) continue;
      if (name->first != group.key) {
        finish_group(shard, group);
        group = Group();
        group.key = std::move(name->first);
      }
      add_member(group, name->second, member->offset, member->size);
    }
    if (!reader.terminated() && defect(group) != nullptr)
      throw TarCutError(fmt::format("the archive is cut short after '{}'", group.key));
  } catch (const IoError& error) {
    // The current group is lost if the broken member may belong to it, and complete if it belongs to another group.
    const auto broken = split_name(reader.current_name());
    if (broken ? broken->first != group.key : defect(group) == nullptr) finish_group(shard, group);
    const bool cut = dynamic_cast<const TarCutError*>(&error) != nullptr;
    throw SampleError(cut ? skip::kCutShard : skip::kCorruptShard, error.what());
  }
  finish_group(shard, group);
  if (!reader.terminated())
    shard.notes.push_back(
        fmt::format("{}: the archive has no end marker; samples may be missing", shard.path.string()));
}

void WebDataset::add_member(Group& group, std::string_view extension, uint64_t offset, uint64_t size) const {
  if (size > std::numeric_limits<uint32_t>::max() || offset / 512 > std::numeric_limits<uint32_t>::max()) {
    group.too_large = true;
    return;
  }
  const Part part{static_cast<uint32_t>(offset / 512), static_cast<uint32_t>(size)};
  const auto image = std::ranges::find(image_keys_, extension);
  if (image != image_keys_.end()) {
    const auto rank = static_cast<size_t>(image - image_keys_.begin());
    if (!group.entry.image.exists() || rank < group.image_rank) group.entry.image = part, group.image_rank = rank;
  } else if (extension == options_.text_key) {
    group.entry.text = part;
  } else if (extension == "json") {
    group.entry.json = part;
  } else if (extension == "cls") {
    group.entry.label = part;
  }
}

const char* WebDataset::defect(const Group& group) const {
  const Entry& e = group.entry;
  if (!e.image.exists()) return group.too_large ? skip::kBrokenImage : skip::kNoImage;
  if (options_.need_caption && !e.text.exists() && !e.json.exists()) return skip::kNoCaption;
  if (options_.need_label && !e.label.exists()) return skip::kNoLabel;
  return nullptr;
}

void WebDataset::finish_group(Shard& shard, const Group& group) const {
  if (group.key.empty()) return;
  if (const char* reason = defect(group)) {
    shard.skipped.add(reason, fmt::format("{}/{}", shard.path.filename().string(), group.key));
    return;
  }
  if (shard.keys.size() + group.key.size() > std::numeric_limits<uint32_t>::max())
    throw IoError("the keys of a shard take more than 4 GiB");
  shard.keys += group.key;
  shard.entries.push_back(group.entry);
  shard.entries.back().key_end = static_cast<uint32_t>(shard.keys.size());
}

std::pair<const WebDataset::Shard*, size_t> WebDataset::locate(int64_t index) const {
  const auto [shard, local] = part_of(ends_, index);
  return {&shards_[shard], static_cast<size_t>(local)};
}

std::string WebDataset::name(int64_t index) const {
  const auto [shard, entry] = locate(index);
  return fmt::format("{}/{}", shard->path.filename().string(), shard->key(entry));
}

Sample WebDataset::load(int64_t index, bool with_image) const {
  const auto [shard, at] = locate(index);
  const Entry& entry = shard->entries[at];
  Sample sample;
  sample.key = shard->key(at);
  try {
    const FileSource file(shard->path);
    const auto read = [&](Part part) {
      return part.exists() ? file.read(uint64_t{part.block} * 512, part.size) : std::vector<std::byte>();
    };
    if (with_image) sample.encoded = read(entry.image);
    const std::vector<std::byte> json = read(entry.json);
    sample.captions = parse_captions(as_text(read(entry.text)), as_text(json), options_.caption_per_line);
    if (options_.need_metadata) sample.metadata = as_text(json);
    if (entry.label.exists() && options_.need_label) sample.label = parse_label(as_text(read(entry.label)));
  } catch (const SampleError&) {
    throw;
  } catch (const IoError& error) {
    throw SampleError(skip::kUnreadable, error.what());
  }
  if (options_.need_caption) require_caption(sample.captions, entry.text.exists());
  return sample;
}

}  // namespace tessera::rils
