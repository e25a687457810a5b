#include "rils/prepare/default_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_map>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/runtime/thread_pool.h"
#include "rils/data/shard_writer.h"
#include "rils/prepare/concepts.h"
#include "rils/prepare/cutout_library.h"
#include "rils/prepare/scene_shards.h"

namespace tessera::rils {

// nlohmann::json finds these two by the namespace of their argument.
static void to_json(nlohmann::ordered_json& json, const RasteriseFailure& failure) {
  json = {{"file", failure.svg.filename().string()}, {"reason", failure.reason}};
}
static void from_json(const nlohmann::ordered_json& json, RasteriseFailure& failure) {
  failure = {json.value("file", ""), json.value("reason", "")};
}

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::string_view kStamp = "prepared.json";
constexpr std::string_view kMaker = "tessera prepare default";
constexpr std::string_view kPartial = "partial";  // where everything is written until it is complete
constexpr int kFormat = 1;                        // increase it when the same options give other data
constexpr std::array<std::string_view, 3> kParts = {"scenes", "objects", "fashion-mnist"};

void check_options(const DefaultDataOptions& o) {
  const auto require = [](bool fine, std::string_view what, int64_t value, std::string_view range) {
    if (!fine) throw ConfigError(fmt::format("prepare default: {} is {}, expected {}", what, value, range));
  };
  require(o.train_scenes >= 1 && o.train_scenes <= 10'000'000, "train_scenes", o.train_scenes, "1 to 10000000");
  require(o.test_scenes >= 1 && o.test_scenes <= 1'000'000, "test_scenes", o.test_scenes, "1 to 1000000");
  require(o.image_size >= 48 && o.image_size <= 1024, "image_size", o.image_size, "48 to 1024 pixels");
  require(o.scenes_per_shard >= 1 && o.scenes_per_shard <= 100'000, "scenes_per_shard", o.scenes_per_shard,
          "1 to 100000");
  require(o.captions_per_scene >= 1 && o.captions_per_scene <= 16, "captions_per_scene", o.captions_per_scene,
          "1 to 16");
  require(o.views_per_object >= 1 && o.views_per_object <= 100, "views_per_object", o.views_per_object, "1 to 100");
  require(o.jpeg_quality >= 1 && o.jpeg_quality <= 100, "jpeg_quality", o.jpeg_quality, "1 to 100");
  require(o.threads >= 0 && o.threads <= 1024, "threads", o.threads, "0 to 1024");
}

/// The options that the data depend on.
Json digest_of(const DefaultDataOptions& o) {
  Json json;
  json["format"] = kFormat;
  json["train_scenes"] = o.train_scenes;
  json["test_scenes"] = o.test_scenes;
  json["image_size"] = o.image_size;
  json["scenes_per_shard"] = o.scenes_per_shard;
  json["captions_per_scene"] = o.captions_per_scene;
  json["views_per_object"] = o.views_per_object;
  json["jpeg_quality"] = o.jpeg_quality;
  json["seed"] = o.seed;
  return json;
}

/// Calls visit(name, member) for each member of the report that prepared.json keeps, in the order of the file.
template <class Report, class Visit>
void visit_kept(Report& r, const Visit& visit) {
  visit("clipart_found", r.clipart_found);
  visit("emoji_found", r.emoji_found);
  visit("clipart_not_drawn", r.failures);
  visit("rejected", r.rejected);
  visit("duplicates", r.duplicates);
  visit("concepts", r.concepts);
  visit("groups", r.groups);
  visit("train_cutouts", r.train_cutouts);
  visit("held_out_cutouts", r.held_out_cutouts);
  visit("held_out_concepts", r.held_out_concepts);
  visit("train_scenes", r.train_scenes);
  visit("test_scenes", r.test_scenes);
  visit("objects", r.objects);
  visit("distinct_captions", r.distinct_captions);
  visit("objects_per_scene", r.objects_per_scene);
}

Json report_to_json(const DefaultDataReport& r) {
  Json json;
  visit_kept(r, [&](const char* name, const auto& value) { json[name] = value; });
  return json;
}

DefaultDataReport report_from_json(const Json& json) {
  DefaultDataReport r;
  r.reused = true;
  visit_kept(r, [&](const char* name, auto& value) { value = json.value(name, value); });
  return r;
}

/// The stamp (prepared.json) of an earlier run; null when it is missing or damaged.
Json read_stamp(const fs::path& out) {
  if (!fs::exists(out / kStamp)) return nullptr;
  Json stamp = Json::parse(read_file(out / kStamp), nullptr, false);
  const bool ours = stamp.is_object() && stamp.contains("made_by") && stamp["made_by"] == kMaker;
  return ours ? stamp : Json(nullptr);
}

bool is_complete(const fs::path& out, const Json& stamp, const Json& digest) {
  const auto part_exists = [&](std::string_view part) { return fs::is_directory(out / part); };
  return stamp.is_object() && stamp.value("complete", false) && stamp.value("options", Json()) == digest &&
         stamp.contains("report") && std::ranges::all_of(kParts, part_exists);
}

void write_stamp(const fs::path& out, const Json& digest, bool complete, const DefaultDataReport& report) {
  Json stamp;
  stamp["made_by"] = kMaker;
  stamp["complete"] = complete;
  stamp["options"] = digest;
  if (complete) stamp["report"] = report_to_json(report);
  write_file_atomically(out / kStamp, stamp.dump(2) + '\n');
}

void copy_fashion(const fs::path& from, const fs::path& to) {
  fs::create_directories(to);
  for (const std::string_view name : {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
                                      "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"}) {
    fs::copy_file(require_asset(from / name, "dataset-fashion-mnist"), to / name, fs::copy_options::overwrite_existing);
  }
}

/// The fraction of captions that occur once.
double distinct_share(const std::vector<std::string>& captions) {
  std::unordered_map<std::string_view, int> counts;
  for (const std::string& caption : captions) ++counts[caption];
  const auto once = std::ranges::count_if(captions, [&](const std::string& c) { return counts[c] == 1; });
  return captions.empty() ? 0 : static_cast<double>(once) / static_cast<double>(captions.size());
}

/// Writes a table of all cut-outs: what each shows, and whether it appears in scenes or in objects/.
void write_cutout_table(const fs::path& path, const ConceptTable& table, const std::vector<Cutout>& cutouts,
                        const CutoutSplit& split) {
  std::string text = "name\tgroup\tcolour\tsplit\tsource\tsource_name\n";
  const std::set<int> held(split.held_out.begin(), split.held_out.end());
  for (size_t i = 0; i < cutouts.size(); ++i) {
    const int index = cutouts[i].concept_index;
    text += fmt::format("{}\t{}\t{}\t{}\t{}\t{}\n", table.concept_at(index).name, table.group_of(index).name,
                        cutouts[i].colour, held.contains(static_cast<int>(i)) ? "objects" : "scenes", cutouts[i].source,
                        cutouts[i].source_name);
  }
  write_file_atomically(path, text);
}

void count_cutouts(const ConceptTable& table, const std::vector<Cutout>& cutouts, const CutoutSplit& split,
                   const SceneCast& cast, DefaultDataReport& report) {
  report.concepts = static_cast<int64_t>(cast.concepts().size());
  report.groups = static_cast<int64_t>(table.groups().size());
  report.train_cutouts = static_cast<int64_t>(split.train.size());
  report.held_out_cutouts = static_cast<int64_t>(split.held_out.size());
  std::set<int> unseen;
  for (const int i : split.held_out) unseen.insert(cutouts[static_cast<size_t>(i)].concept_index);
  for (const int c : cast.concepts()) unseen.erase(c);
  report.held_out_concepts = static_cast<int64_t>(unseen.size());
}

/// Writes the whole data set to `partial`.
void build(const fs::path& partial, const DefaultDataOptions& options, const DefaultAssets& assets,
           DefaultDataReport& report, const PrepareProgress& progress) {
  ThreadPool pool(options.threads);
  const ConceptTable& table = ConceptTable::standard();
  const auto cutouts = gather_cutouts(assets, table, options.out / "cache", pool, report, progress);
  const CutoutSplit split = split_cutouts(cutouts, options.seed);
  const SceneCast cast(cutouts, split.train, static_cast<int>(table.concepts().size()), options.seed);
  count_cutouts(table, cutouts, split, cast, report);

  const auto train = write_scene_shards(partial / "scenes" / "train", options, table, cast, false, pool, progress);
  const auto test = write_scene_shards(partial / "scenes" / "test", options, table, cast, true, pool, progress);
  write_lines(partial / "scenes" / "captions.txt", train.captions);
  report.train_scenes = options.train_scenes;
  report.test_scenes = options.test_scenes;
  report.distinct_captions = distinct_share(train.captions);
  report.objects_per_scene =
      static_cast<double>(train.objects + test.objects) / (options.train_scenes + options.test_scenes);
  report.objects = write_object_shards(partial / "objects", options, table, cutouts, split, pool);
  write_cutout_table(partial / "objects" / "cutouts.tsv", table, cutouts, split);
  copy_fashion(assets.fashion, partial / "fashion-mnist");
}

DefaultDataReport prepare_checked(const DefaultDataOptions& options, const PrepareProgress& progress) {
  const Json digest = digest_of(options);
  const Json stamp = fs::exists(options.out) ? read_stamp(options.out) : Json(nullptr);
  try {
    if (is_complete(options.out, stamp, digest)) return report_from_json(stamp["report"]);
  } catch (const Json::exception&) {  // a stamp with wrong types counts as incomplete
  }
  for (const std::string_view part : {kParts[0], kParts[1], kParts[2], kPartial})
    if (stamp.is_null() && fs::exists(options.out / part))
      throw IoError(fmt::format("{}: exists already and was not made by prepare default; choose another folder",
                                (options.out / part).string()));
  const DefaultAssets assets = find_assets(options.assets);
  fs::create_directories(options.out);
  DefaultDataReport report;
  write_stamp(options.out, digest, false, report);
  const ScratchFolder partial(options.out / kPartial);
  build(partial.path(), options, assets, report, progress);
  for (const std::string_view part : kParts) {
    fs::remove_all(options.out / part);
    fs::rename(partial.path() / part, options.out / part);
  }
  write_stamp(options.out, digest, true, report);
  return report;
}

}  // namespace

std::string DefaultDataReport::describe() const {
  std::string text = fmt::format(
      "scenes: {} train and {} test, with {:.2f} things on average; {:.1f} % of the train captions occur once\n"
      "things in the scenes: {} in {} groups, shown by {} cut-outs of clip art and emoji\n"
      "classification: {} held-out cut-outs, among them all pictures of {} things, give {} images\n",
      train_scenes, test_scenes, objects_per_scene, 100 * distinct_captions, concepts, groups, train_cutouts,
      held_out_cutouts, held_out_concepts, objects);
  text += fmt::format("sources: {} SVGs and {} emoji found; {} unusable, {} near-duplicates, {} not drawn",
                      clipart_found, emoji_found, rejected, duplicates, failures.size());
  for (size_t i = 0; i < std::min<size_t>(failures.size(), 5); ++i)
    text += fmt::format("\n  {}: {}", failures[i].svg.string(), failures[i].reason);
  return text;
}

DefaultDataReport prepare_default(const DefaultDataOptions& options, const PrepareProgress& progress) {
  check_options(options);
  try {
    return prepare_checked(options, progress);
  } catch (const fs::filesystem_error& e) {
    throw IoError(fmt::format("{}: {}", e.path1().string(), e.code().message()));
  }
}

}  // namespace tessera::rils
