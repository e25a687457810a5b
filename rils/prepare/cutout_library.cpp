#include "rils/prepare/cutout_library.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <utility>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/runtime/thread_pool.h"
#include "rils/data/byte_source.h"
#include "rils/data/decode.h"
#include "rils/data/pixel_mode.h"
#include "rils/prepare/clipart.h"
#include "rils/prepare/emoji.h"

namespace tessera::rils {
namespace {

constexpr int kRasterSize = 128;

/// Whether captions name the colour of a group's pictures. Not for people: their yellow skin and clothes are the font's
/// style.
bool has_colour_words(const ConceptGroup& group) { return group.name != "person"; }

/// Makes a cut-out of a premultiplied picture; nullopt when the picture is unsuitable.
std::optional<Cutout> make_cutout(const Image& premultiplied, const ConceptTable& table, int concept_index,
                                  std::string_view source, std::string name) {
  std::string reason;
  auto image = cut_out(premultiplied, reason);
  if (!image) return std::nullopt;
  Cutout out;
  out.concept_index = concept_index;
  out.source = source;
  out.source_name = std::move(name);
  if (has_colour_words(table.group_of(concept_index))) out.colour = main_colour(*image);
  out.image = std::move(*image);
  return out;
}

void add_emoji(const DefaultAssets& assets, const ConceptTable& table, std::vector<Cutout>& out,
               DefaultDataReport& report) {
  EmojiFont font(assets.emoji_font);
  for (const Emoji& emoji : parse_emoji_test(read_file(assets.emoji_names))) {
    const auto found = table.find_emoji(emoji.name);
    if (!found) continue;
    ++report.emoji_found;
    const auto image = font.draw(emoji.code_points);
    auto cutout = image ? make_cutout(*image, table, *found, "noto-emoji", emoji.name) : std::nullopt;
    if (cutout) {
      out.push_back(std::move(*cutout));
    } else {
      ++report.rejected;
    }
  }
}

void add_clipart(const DefaultAssets& assets, const ConceptTable& table, const std::filesystem::path& cache,
                 ThreadPool& pool, std::vector<Cutout>& out, DefaultDataReport& report,
                 const PrepareProgress& progress) {
  if (progress) progress("looking for clip art", 0, 0);
  const auto files = find_clipart(assets.clipart, table);
  report.clipart_found = static_cast<int64_t>(files.size());
  std::vector<std::filesystem::path> paths;
  paths.reserve(files.size());
  for (const ClipartFile& file : files) paths.push_back(file.path);
  const Rasteriser rasteriser(assets.rsvg_convert, cache, kRasterSize);
  const auto total = static_cast<int64_t>(paths.size());
  const auto pngs = rasteriser.run(paths, pool, report.failures, [&](int64_t done) {
    if (progress) progress("drawing clip art", done, total);
  });
  std::vector<std::optional<Cutout>> cutouts(files.size());
  pool.run(total, [&](int64_t i, int) {
    const auto at = static_cast<size_t>(i);
    if (pngs[at].empty()) return;
    try {
      Image image = decode_png_rgba(read_bytes(pngs[at]));
      premultiply(image);
      cutouts[at] = make_cutout(image, table, files[at].concept_index, "openclipart", files[at].relative_path);
    } catch (const IoError&) {  // counted as rejected, and drawn again in the next run
      std::error_code ignored;
      std::filesystem::remove(pngs[at], ignored);
    }
  });
  for (size_t i = 0; i < cutouts.size(); ++i) {
    if (cutouts[i]) {
      out.push_back(std::move(*cutouts[i]));
    } else if (!pngs[i].empty()) {
      ++report.rejected;
    }
  }
}

}  // namespace

std::filesystem::path require_asset(const std::filesystem::path& path, std::string_view package) {
  std::error_code error;
  if (!std::filesystem::exists(path, error))
    throw IoError(
        fmt::format("{}: not found; it belongs to the Debian package {}, which apps/prepare/fetch_assets.sh "
                    "unpacks without root",
                    path.string(), package));
  return path;
}

DefaultAssets find_assets(const std::filesystem::path& folder) {
  std::error_code error;
  const auto nested = folder / "usr" / "share";
  const auto share = std::filesystem::is_directory(nested, error) ? nested : folder;
  DefaultAssets assets;
  assets.clipart = require_asset(share / "openclipart" / "svg", "openclipart-svg");
  assets.emoji_font = require_asset(share / "fonts/truetype/noto/NotoColorEmoji.ttf", "fonts-noto-color-emoji");
  assets.emoji_names = require_asset(share / "unicode/emoji/emoji-test.txt", "unicode-data");
  assets.fashion = require_asset(share / "datasets/fashion-mnist", "dataset-fashion-mnist");
  const auto unpacked = share.parent_path() / "bin" / "rsvg-convert";
  assets.rsvg_convert = std::filesystem::exists(unpacked, error) ? unpacked : std::filesystem::path("rsvg-convert");
  return assets;
}

std::vector<Cutout> gather_cutouts(const DefaultAssets& assets, const ConceptTable& table,
                                   const std::filesystem::path& cache, ThreadPool& pool, DefaultDataReport& report,
                                   const PrepareProgress& progress) {
  std::vector<Cutout> all;
  add_emoji(assets, table, all, report);
  add_clipart(assets, table, cache, pool, all, report, progress);
  const auto duplicate = near_duplicates(all);
  std::vector<Cutout> out;
  for (size_t i = 0; i < all.size(); ++i) {
    if (duplicate[i]) {
      ++report.duplicates;
    } else {
      out.push_back(std::move(all[i]));
    }
  }
  return out;
}

}  // namespace tessera::rils
