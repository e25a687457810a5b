#include "rils/data/shard_writer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "engine/core/atomic_file.h"
#include "engine/core/printable.h"
#include "rils/data/decode.h"
#include "rils/data/encode.h"
#include "rils/text/encoding.h"

namespace tessera::rils {

namespace fs = std::filesystem;

namespace {

/// A shard holds what open_clip and img2dataset read: JPEG, PNG and WebP as they are, other formats as PNG.
struct StoredImage {
  explicit StoredImage(std::span<const std::byte> file) : bytes(file) {
    const ImageFormat format = image_format(file);
    extension = format_extension(format);
    if (format == ImageFormat::jpeg || format == ImageFormat::png || format == ImageFormat::webp) return;
    converted = encode_png(decode_image(file));
    bytes = converted;
    extension = "png";
  }
  std::vector<std::byte> converted;
  std::span<const std::byte> bytes;
  std::string_view extension;
};

}  // namespace

void write_lines(const fs::path& path, const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += printable(line) + '\n';
  write_file_atomically(path, text);
}

PartsWriter::PartsWriter(const fs::path& folder, std::vector<std::string> parts)
    : parts_(std::move(parts)), partial_(folder / "unfinished.partial") {
  std::error_code error;
  for (const std::string& part : parts_) {
    if (fs::exists(folder / part, error))
      throw ConfigError(fmt::format("{}: exists already; remove it first", (folder / part).string()));
  }
}

ShardWriter::ShardWriter(fs::path folder, int64_t samples_per_shard, ShardNames names)
    : folder_(std::move(folder)), names_(names), samples_per_shard_(samples_per_shard) {
  if (samples_per_shard < 1)
    throw ConfigError(fmt::format("samples_per_shard: expected at least 1, found {}", samples_per_shard));
  std::error_code error;
  if (fs::exists(folder_, error))
    throw ConfigError(fmt::format("{}: the folder exists already; remove it first", folder_.string()));
  partial_.emplace(fs::path(folder_) += ".partial");
}

void ShardWriter::add(const Sample& sample) {
  const StoredImage image(sample.image);
  // Readers of shards expect UTF-8 and fail on anything else.
  for (const std::string& caption : sample.captions)
    if (!is_utf8(caption)) throw SampleError(skip::kBadEncoding, "expected captions in UTF-8");
  if (shard_ && samples_ % samples_per_shard_ == 0) {
    shard_->commit();
    shard_.reset();
  }
  if (!shard_) {
    const int digits = names_ == ShardNames::plain ? 1 : 5;
    shard_ = std::make_unique<TarWriter>(partial_->path() / fmt::format("{:0{}}.tar", shards_++, digits));
  }
  const std::string key = fmt::format("{:09}", samples_++);
  shard_->add(fmt::format("{}.{}", key, image.extension), image.bytes);
  if (sample.label) shard_->add(key + ".cls", std::to_string(*sample.label));
  if (!sample.captions.empty()) shard_->add(key + ".txt", sample.captions[0]);
  nlohmann::json metadata = {{"key", key}};
  if (!sample.captions.empty()) metadata["caption"] = sample.captions[0];
  if (sample.captions.size() > 1) metadata["captions"] = sample.captions;
  if (!sample.source.empty()) metadata["source"] = sample.source;
  shard_->add(key + ".json", metadata.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void ShardWriter::finish() {
  if (shard_) shard_->commit();
  shard_.reset();
  write_file_atomically(partial_->path() / "nshards.txt", fmt::format("{}\n", shards_));
  partial_->rename_to(folder_);
}

}  // namespace tessera::rils
