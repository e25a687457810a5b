#include "rils/prepare/shards_command.h"

#include <fmt/format.h>

#include <memory>
#include <vector>

#include "rils/data/dataset.h"
#include "rils/data/file_datasets.h"
#include "rils/data/shard_writer.h"

namespace tessera::rils {
namespace {

/// Whether each entry of the table is held out.
std::vector<bool> held_out(const CaptionTable& table, int64_t count) {
  std::vector<std::string> names;
  names.reserve(table.entries.size());
  for (const auto& entry : table.entries) names.push_back(std::filesystem::path(entry.image).filename().string());
  std::vector<bool> held(names.size(), false);
  for (const int64_t i : hold_out(names, count)) held[static_cast<size_t>(i)] = true;
  return held;
}

}  // namespace

std::string PrepareReport::describe() const {
  std::string text = fmt::format("{} images with {} captions; train: {} images in {} shards", written(), captions,
                                 train_samples, train_shards);
  if (val_samples > 0) text += fmt::format(", val: {} images in {} shards", val_samples, val_shards);
  return fmt::format("{}; {}", text, skipped.describe());
}

PrepareReport prepare_captions(const PrepareCaptionsOptions& options, const PrepareProgress& progress) {
  const CaptionTable table =
      read_caption_table(options.table, options.columns, parse_text_encoding(options.text_encoding));
  const auto found = static_cast<int64_t>(table.entries.size());
  if (found == 0)
    throw IoError(fmt::format("{}: the table has no usable row; {}", options.table.string(), table.skipped.describe()));
  if (options.hold_out < 0 || options.hold_out >= found)
    throw ConfigError(fmt::format("--hold-out: expected 0 to {}, so that an image is left for train, found {}",
                                  found - 1, options.hold_out));
  const auto held = held_out(table, options.hold_out);
  PartsWriter parts(options.output, options.hold_out > 0 ? std::vector<std::string>{"train", "val"}
                                                         : std::vector<std::string>{"train"});
  ShardWriter train(parts.path("train"), options.samples_per_shard);
  std::unique_ptr<ShardWriter> val;
  if (options.hold_out > 0) val = std::make_unique<ShardWriter>(parts.path("val"), options.samples_per_shard);

  PrepareReport report;
  report.skipped = table.skipped;
  for (size_t i = 0; i < table.entries.size(); ++i) {
    const auto& entry = table.entries[i];
    try {
      const auto bytes = read_sample_file(table.path(entry));
      (void)decode_image(bytes, options.max_image_pixels);
      (held[i] ? *val : train).add({bytes, entry.captions, std::nullopt, entry.image});
      report.captions += static_cast<int64_t>(entry.captions.size());
    } catch (const SampleError& error) {
      report.skipped.add(error.reason(), fmt::format("{}: {}", entry.image, error.what()));
    }
    if (progress) progress("writing images", static_cast<int64_t>(i) + 1, found);
  }
  if (train.samples() == 0)
    throw IoError(fmt::format("{}: no usable image; {}", options.table.string(), report.skipped.describe()));
  train.finish();
  if (val) val->finish();
  parts.finish();
  report.train_samples = train.samples();
  report.train_shards = train.shards();
  report.val_samples = val ? val->samples() : 0;
  report.val_shards = val ? val->shards() : 0;
  return report;
}

}  // namespace tessera::rils
