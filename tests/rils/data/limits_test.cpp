// What a loader leaves out, and what it draws: limits of pixels for every format, every reason counted, captions and
// crops that differ from epoch to epoch and from sample to sample.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <set>

#include "engine/core/atomic_file.h"
#include "rils/data/loader.h"
#include "tests/rils/data/golden_file.h"
#include "tests/rils/data/test_files.h"

namespace tessera::rils {
namespace {

/// Samples as a function makes them.
class MadeDataset final : public Dataset {
 public:
  MadeDataset(int64_t size, std::function<Sample(int64_t)> make) : size_(size), make_(std::move(make)) {}
  [[nodiscard]] int64_t size() const override { return size_; }
  [[nodiscard]] std::string name(int64_t index) const override { return "made/" + std::to_string(index); }
  [[nodiscard]] Sample load(int64_t index, bool) const override {
    Sample sample = make_(index);
    sample.key = std::to_string(index);
    return sample;
  }

 private:
  int64_t size_;
  std::function<Sample(int64_t)> make_;
};

LoaderOptions plain_options() {
  LoaderOptions options;
  options.batch_size = 1;
  options.image_size = 4;
  TrainTransform transform;
  transform.size = 4;
  options.transform = transform;
  options.workers = 0;
  options.epochs = 1;
  options.drop_last = false;
  return options;
}

/// The counts of one epoch, which may have no batch at all.
LoaderStats read_epoch(const std::shared_ptr<const Dataset>& data, const LoaderOptions& options) {
  Loader loader(data, options);
  Batch batch;
  try {
    while (loader.next(batch)) {
    }
  } catch (const IoError&) {
  }
  const LoaderStats stats = loader.stats();
  EXPECT_EQ(stats.seen + stats.skipped.total(), stats.total);
  return stats;
}

TEST(PixelLimit, HoldsForEveryFormatAtItsBorder) {
  const test::GoldenFile golden("decode");
  std::set<std::string> formats;
  for (const std::string& name : golden.names()) {
    if (!name.ends_with(".bytes")) continue;
    SCOPED_TRACE(name);
    const auto bytes = golden.bytes(name);
    const Image image = decode_image(bytes);
    formats.insert(std::string(format_extension(image_format(bytes))));
    const auto data = std::make_shared<MadeDataset>(1, [&](int64_t) {
      Sample s;
      s.encoded = bytes;
      return s;
    });
    auto options = plain_options();
    const int64_t pixels = int64_t{image.width} * image.height;
    for (const size_t cache : {size_t{0}, size_t{1} << 20}) {
      options.cache_bytes = cache;
      for (const int64_t most : {pixels + 1, pixels}) {
        options.max_image_pixels = most;
        EXPECT_EQ(read_epoch(data, options).seen, 1);
      }
      for (const int64_t most : {pixels - 1, pixels / 2}) {
        if (most < 1) continue;  // a picture of one pixel
        options.max_image_pixels = most;
        EXPECT_EQ(read_epoch(data, options).skipped.count(skip::kTooManyPixels), 1);
      }
    }
  }
  EXPECT_EQ(formats, (std::set<std::string>{"jpg", "png", "webp", "gif", "bmp", "tif", "ppm", "tga"}));
}

TEST(SkipReasons, EachIsCountedUnderItsName) {
  const std::vector<const char*> reasons = {
      skip::kNoImage,     skip::kNoCaption,     skip::kEmptyCaption,  skip::kLongCaption, skip::kBadEncoding,
      skip::kApart,       skip::kDottedName,    skip::kNoLabel,       skip::kBadLabel,    skip::kBadMetadata,
      skip::kBadRow,      skip::kMissingFile,   skip::kUnreadable,    skip::kCutShard,    skip::kCorruptShard,
      skip::kBrokenImage, skip::kUnknownFormat, skip::kTooManyPixels, skip::kTooThin};
  const std::set<std::string> distinct(reasons.begin(), reasons.end());
  EXPECT_EQ(distinct.size(), reasons.size());
  // Reason number r is that of r + 1 samples; one more is good.
  std::vector<size_t> reason_of;
  for (size_t r = 0; r < reasons.size(); ++r) reason_of.insert(reason_of.end(), r + 1, r);
  const auto bad = static_cast<int64_t>(reason_of.size());
  const auto data = std::make_shared<MadeDataset>(bad + 1, [&](int64_t index) {
    if (index < bad) throw SampleError(reasons[reason_of[static_cast<size_t>(index)]], "what is wrong");
    Sample s;
    s.decoded = test::flat_image(1);
    return s;
  });
  for (const int workers : {0, 3}) {
    auto options = plain_options();
    options.workers = workers;
    options.shuffle = false;
    const LoaderStats stats = read_epoch(data, options);
    EXPECT_EQ(stats.seen, 1);
    EXPECT_EQ(stats.total, bad + 1);
    for (size_t r = 0; r < reasons.size(); ++r) {
      EXPECT_EQ(stats.skipped.count(reasons[r]), static_cast<int64_t>(r + 1)) << reasons[r];
      const auto first = static_cast<int64_t>(r * (r + 1) / 2);
      EXPECT_EQ(stats.skipped.entries().at(reasons[r]).example, "made/" + std::to_string(first) + ": what is wrong");
    }
  }
}

using Counts = std::map<std::string, int64_t>;

Counts counts_of(const std::string& source, const DatasetOptions& dataset, int64_t most_pixels = 100) {
  auto options = plain_options();
  options.max_image_pixels = most_pixels;
  const LoaderStats stats = read_epoch(open_dataset(source, dataset), options);
  Counts counts{{"seen", stats.seen}};
  for (const auto& [reason, entry] : stats.skipped.entries()) counts[reason] = entry.count;
  return counts;
}

TEST(SkipReasons, OfShards) {
  const test::TemporaryFolder folder;
  const std::string png = test::png_text(3), large = test::text_of(encode_png(test::flat_image(1, 11, 10)));
  const std::string broken = png.substr(0, png.size() - 20);
  test::write_tar(folder.path() / "a.tar", {{"1.png", png},
                                            {"1.txt", "good"},
                                            {"2.txt", "no image"},
                                            {"3.png", png},
                                            {"4.png", png},
                                            {"4.txt", " \n"},
                                            {"5.png", broken},
                                            {"5.txt", "cut image"},
                                            {"6.png", "<html>404</html>"},
                                            {"6.txt", "another format"},
                                            {"7.png", large},
                                            {"7.txt", "110 pixels"},
                                            {"8.png", png},
                                            {"8.json", "{broken"}});
  EXPECT_EQ(counts_of((folder.path() / "a.tar").string(), {}), (Counts{{"seen", 1},
                                                                       {skip::kNoImage, 1},
                                                                       {skip::kNoCaption, 1},
                                                                       {skip::kEmptyCaption, 1},
                                                                       {skip::kBrokenImage, 1},
                                                                       {skip::kUnknownFormat, 1},
                                                                       {skip::kTooManyPixels, 1},
                                                                       {skip::kBadMetadata, 1}}));
  test::write_tar(folder.path() / "b.tar", {{"1.png", png},
                                            {"1.cls", "4"},
                                            {"2.png", png},
                                            {"3.png", png},
                                            {"3.cls", "-1"},
                                            {"4.png", png},
                                            {"4.cls", "four"}});
  DatasetOptions labels;
  labels.need_caption = false;
  labels.need_label = true;
  EXPECT_EQ(counts_of((folder.path() / "b.tar").string(), labels),
            (Counts{{"seen", 1}, {skip::kNoLabel, 1}, {skip::kBadLabel, 2}}));
  // A shard that ends in its last sample, and one whose header is damaged.
  const std::string whole = read_file(folder.path() / "b.tar");
  folder.write("cut/b.tar", std::string_view(whole).substr(0, whole.find("4.png") + 512 + 5));
  EXPECT_EQ(counts_of((folder.path() / "cut/b.tar").string(), labels).at(skip::kCutShard), 1);
  std::string damaged = whole;
  damaged[damaged.find("3.png") + 2] ^= 1;
  folder.write("damaged/b.tar", std::string_view(damaged));
  EXPECT_EQ(counts_of((folder.path() / "damaged/b.tar").string(), labels).at(skip::kCorruptShard), 1);
}

TEST(SkipReasons, OfTables) {
  const test::TemporaryFolder folder;
  folder.write("1.png", std::string_view(test::png_text(1)));
  std::filesystem::create_directories(folder.path() / "3.png");
  folder.write("t.csv",
               std::string_view("filepath,title\n1.png,good\n2.png,missing\n3.png,a folder\n4.png,  \nno columns\n"));
  DatasetOptions options;
  options.type = DatasetType::table;
  EXPECT_EQ(
      counts_of((folder.path() / "t.csv").string(), options),
      (Counts{
          {"seen", 1}, {skip::kMissingFile, 1}, {skip::kUnreadable, 1}, {skip::kEmptyCaption, 1}, {skip::kBadRow, 1}}));
}

/// By sample, what each of some epochs showed.
template <class Value>
using Epochs = std::vector<std::map<int64_t, Value>>;

TEST(CaptionDraws, AreUniformAndBelongToSeedEpochAndSample) {
  constexpr int64_t kSamples = 60, kEpochs = 40;
  const auto data = std::make_shared<MadeDataset>(kSamples, [](int64_t) {
    Sample s;
    s.decoded = test::flat_image(1);
    s.captions = {"a", "b", "c"};
    return s;
  });
  const auto read = [&](uint64_t seed, int workers) {
    auto options = plain_options();
    options.epochs = kEpochs;
    options.seed = seed;
    options.workers = workers;
    options.batch_size = 20;
    Loader loader(data, options);
    Epochs<std::string> epochs;
    Batch batch;
    for (int64_t e = 0; e < kEpochs; ++e) {
      auto& epoch = epochs.emplace_back();
      while (loader.next(batch)) {
        for (size_t i = 0; i < batch.captions.size(); ++i) epoch[batch.sample_ids[i]] = batch.captions[i];
      }
    }
    return epochs;
  };
  const auto found = read(1, 0);
  EXPECT_EQ(read(1, 2), found);
  EXPECT_NE(read(2, 0), found);
  std::map<std::string, double> shares;
  double kept = 0, alike = 0;
  for (size_t e = 0; e < found.size(); ++e) {
    ASSERT_EQ(std::ssize(found[e]), kSamples);
    for (const auto& [id, caption] : found[e]) {
      shares[caption] += 1.0 / (kSamples * kEpochs);
      if (e > 0 && found[e - 1].at(id) == caption) kept += 1.0 / (kSamples * (kEpochs - 1));
      if (id > 0 && found[e].at(id - 1) == caption) alike += 1.0 / ((kSamples - 1) * kEpochs);
    }
  }
  // Five std of 2400 draws.
  for (const char* caption : {"a", "b", "c"}) EXPECT_NEAR(shares[caption], 1.0 / 3, 0.05);
  EXPECT_NEAR(kept, 1.0 / 3, 0.05) << "from epoch to epoch";
  EXPECT_NEAR(alike, 1.0 / 3, 0.05) << "from sample to sample";
}

TEST(CropDraws, BelongToSeedEpochAndSample) {
  // The same picture many times: what differs is the crop.
  Image picture(40, 30);
  for (size_t i = 0; i < picture.pixels.size(); ++i) picture.pixels[i] = static_cast<uint8_t>(i * 7 % 251);
  const auto data = std::make_shared<MadeDataset>(30, [&](int64_t) {
    Sample s;
    s.decoded = picture;
    return s;
  });
  const auto read = [&](uint64_t seed, float flip) {
    auto options = plain_options();
    TrainTransform transform;
    transform.size = 4;
    transform.flip_probability = flip;
    if (flip > 0) transform.scale = {1.0f, 1.0f}, transform.ratio = {4.0f / 3.0f, 4.0f / 3.0f};
    options.transform = transform;
    options.epochs = 3;
    options.seed = seed;
    Loader loader(data, options);
    Epochs<std::vector<float>> epochs(3);
    Batch batch;
    for (auto& epoch : epochs) {
      while (loader.next(batch)) epoch[batch.sample_ids[0]] = batch.images;
    }
    return epochs;
  };
  const auto found = read(1, 0);
  EXPECT_EQ(read(1, 0), found);
  std::set<std::vector<float>> distinct;
  for (const auto& epoch : found) {
    for (const auto& [id, image] : epoch) distinct.insert(image);
  }
  EXPECT_GT(distinct.size(), 80u) << "of 90 crops";
  EXPECT_NE(read(2, 0), found);
  // Without a crop the flip alone is drawn: both ways, not the same samples in every epoch.
  const auto flipped = read(1, 0.5f);
  distinct.clear();
  for (const auto& [id, image] : flipped[0]) distinct.insert(image);
  EXPECT_EQ(distinct.size(), 2u);
  EXPECT_NE(flipped[0], flipped[1]);
  EXPECT_NE(flipped[1], flipped[2]);
}

}  // namespace
}  // namespace tessera::rils
