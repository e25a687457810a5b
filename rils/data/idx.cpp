#include "rils/data/idx.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <memory>
#include <system_error>

#include "rils/data/byte_source.h"
#include "rils/data/decode.h"

namespace tessera::rils {
namespace {

constexpr std::string_view kImages = "images-idx3-ubyte", kLabels = "labels-idx1-ubyte";
constexpr size_t kMaxBytes = size_t{1} << 33;
constexpr uint64_t kMostRatio = 200, kFreely = 64 << 20;  // of values to the bytes of a gzip file

struct CloseGzip {
  void operator()(gzFile file) const { gzclose(file); }
};

/// Reads up to `count` bytes; zlib passes files through that are not compressed.
size_t read_some(gzFile file, const std::filesystem::path& path, uint8_t* out, size_t count) {
  size_t done = 0;
  while (done < count) {
    const auto step = static_cast<unsigned>(std::min<size_t>(count - done, 1u << 20));
    const int n = gzread(file, out + done, step);
    if (n < 0) {
      int code = 0;
      throw IoError(fmt::format("{}: {}", path.string(), gzerror(file, &code)));
    }
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

std::filesystem::path labels_beside(const std::filesystem::path& images) {
  std::string name = images.filename().string();
  const size_t at = name.find(kImages);
  if (at == std::string::npos)
    throw ConfigError(
        fmt::format("{}: expected a file name that ends in {} or {}.gz", images.string(), kImages, kImages));
  name.replace(at, kImages.size(), kLabels);
  for (const auto& candidate : {name, name + ".gz", name.ends_with(".gz") ? name.substr(0, name.size() - 3) : name}) {
    std::error_code ignored;
    auto path = images.parent_path() / candidate;
    if (std::filesystem::exists(path, ignored)) return path;
  }
  throw IoError(fmt::format("{}: expected the labels {} beside it, found none", images.string(), name));
}

}  // namespace

IdxArray read_idx(const std::filesystem::path& path) {
  const uint64_t bytes = FileSource(path).size();  // its error says why a file cannot be opened
  const std::unique_ptr<gzFile_s, CloseGzip> file(gzopen(path.c_str(), "rb"));
  if (!file) throw IoError(fmt::format("{}: cannot open", path.string()));
  std::array<uint8_t, 4> magic{};
  const bool complete = read_some(file.get(), path, magic.data(), magic.size()) == magic.size();
  if (!complete || magic[0] != 0 || magic[1] != 0 || magic[2] != 0x08 || magic[3] < 1 || magic[3] > 4)
    throw IoError(fmt::format("{}: not an IDX file of bytes (magic {:02x}{:02x}{:02x}{:02x})", path.string(), magic[0],
                              magic[1], magic[2], magic[3]));
  IdxArray array;
  size_t count = 1;
  for (int d = 0; d < magic[3]; ++d) {
    std::array<uint8_t, 4> raw{};
    if (read_some(file.get(), path, raw.data(), raw.size()) != raw.size())
      throw IoError(fmt::format("{}: the file is cut short in its header", path.string()));
    const size_t extent = size_t{raw[0]} << 24 | size_t{raw[1]} << 16 | size_t{raw[2]} << 8 | size_t{raw[3]};
    if (extent != 0 && count > kMaxBytes / extent)
      throw IoError(fmt::format("{}: the header announces more than the limit of {} bytes", path.string(), kMaxBytes));
    count *= extent;
    array.dims.push_back(static_cast<int64_t>(extent));
  }
  const bool packed = gzdirect(file.get()) == 0;
  const uint64_t header = magic.size() * (1 + array.dims.size());
  if (const uint64_t most = packed ? std::max(kFreely, kMostRatio * bytes) : bytes - header; count > most) {
    throw IoError(fmt::format("{}: the file is cut short: it holds at most {} values, the header announces {}",
                              path.string(), most, count));
  }
  // Reads in steps, so that a false header does not allocate the memory that it announces.
  while (array.values.size() < count) {
    const size_t begin = array.values.size(), step = std::min<size_t>(count - begin, 16u << 20);
    array.values.resize(begin + step);
    const size_t got = read_some(file.get(), path, array.values.data() + begin, step);
    if (got < step)
      throw IoError(fmt::format("{}: the file is cut short: found {} values, the header announces {}", path.string(),
                                begin + got, count));
  }
  uint8_t more = 0;
  const size_t beyond = read_some(file.get(), path, &more, 1);
  int code = Z_OK;
  (void)gzerror(file.get(), &code);
  if (code == Z_BUF_ERROR) throw IoError(fmt::format("{}: the compressed data are cut short", path.string()));
  if (beyond != 0)
    throw IoError(
        fmt::format("{}: the file is longer than the {} values that its header announces", path.string(), count));
  return array;
}

bool IdxDataset::recognises(const std::filesystem::path& file) {
  const std::string name = file.filename().string();
  const size_t at = name.find(kImages);
  return at != std::string::npos && (at + kImages.size() == name.size() || name.substr(at + kImages.size()) == ".gz");
}

IdxDataset::IdxDataset(const std::filesystem::path& images)
    : file_(images.filename().string()), images_(read_idx(images)), labels_(read_idx(labels_beside(images))) {
  if (images_.dims.size() != 3 || images_.dims[1] < 1 || images_.dims[2] < 1)
    throw IoError(fmt::format("{}: expected 3 dimensions (images, rows, columns), found {}", images.string(),
                              images_.dims.size()));
  if (images_.dims[1] > kDefaultMaxImagePixels / images_.dims[2])
    throw IoError(fmt::format("{}: expected images of at most {} pixels, found {}x{}", images.string(),
                              kDefaultMaxImagePixels, images_.dims[2], images_.dims[1]));
  if (labels_.dims.size() != 1 || labels_.dims[0] != images_.dims[0])
    throw IoError(fmt::format("{}: {} images but {} labels", images.string(), images_.dims[0], labels_.values.size()));
}

std::string IdxDataset::name(int64_t index) const { return fmt::format("{}[{}]", file_, index); }

Sample IdxDataset::load(int64_t index, bool with_image) const {
  const auto i = static_cast<size_t>(index);
  Sample sample;
  sample.key = name(index);
  sample.label = labels_.values.at(i);
  if (!with_image) return sample;
  Image image(static_cast<int>(images_.dims[2]), static_cast<int>(images_.dims[1]));
  const size_t count = image.pixels.size() / 3;
  const uint8_t* grey = images_.values.data() + i * count;
  for (size_t p = 0; p < count; ++p) std::fill_n(image.pixels.data() + 3 * p, 3, grey[p]);
  sample.decoded = std::move(image);
  return sample;
}

}  // namespace tessera::rils
