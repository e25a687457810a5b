#include "rils/prepare/clip_vocabulary.h"

#include <fmt/format.h>
#include <stdlib.h>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/prepare/run_program.h"
#include "rils/prepare/zip.h"
#include "rils/text/vocabulary.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFile = "bpe_simple_vocab_16e6.txt.gz";
constexpr int32_t kIds = 49408;
constexpr std::chrono::seconds kDownloadLimit(600);

/// A temporary folder, removed by the destructor.
class DownloadFolder {
 public:
  DownloadFolder() : path_((fs::temp_directory_path() / "tessera-XXXXXX").string()) {
    if (mkdtemp(path_.data()) == nullptr) throw IoError(fmt::format("{}: cannot create the folder", path_));
  }
  ~DownloadFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  DownloadFolder(const DownloadFolder&) = delete;
  DownloadFolder& operator=(const DownloadFolder&) = delete;
  [[nodiscard]] fs::path path() const { return path_; }

 private:
  std::string path_;
};

std::string last_line(const fs::path& file) {
  std::error_code error;
  if (fs::file_size(file, error) == 0 || error) return {};
  std::string text = read_file(file);
  text.erase(text.find_last_not_of("\r\n ") + 1);
  return text.substr(text.rfind('\n') + 1);
}

/// Downloads the wheel into a folder and returns its path.
fs::path download(const fs::path& folder) {
  const fs::path log = folder / "log";
  const std::string reason =
      run_program({"python3", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input",
                   "--no-deps", "--only-binary=:all:", "--dest", folder.string(), "open_clip_torch"},
                  kDownloadLimit, log);
  if (!reason.empty()) {
    const std::string said = last_line(log);
    throw IoError(
        fmt::format("pip download open_clip_torch: {}; without a network, give the wheel, the folder of the installed "
                    "package or the file {} with --package",
                    said.empty() ? reason : said, kFile));
  }
  for (const auto& file : fs::directory_iterator(folder)) {
    if (file.path().extension() == ".whl") return file.path();
  }
  throw IoError("pip download open_clip_torch: expected a wheel, found none");
}

std::string read_package(const fs::path& package) {
  if (fs::is_directory(package)) {
    for (const char* folder : {"", "open_clip", "clip", "src/open_clip"}) {
      const fs::path file = package / folder / kFile;
      if (fs::is_regular_file(file)) return read_file(file);
    }
    throw IoError(fmt::format("{}: expected the file {} in this folder or in its open_clip/, found none",
                              package.string(), kFile));
  }
  std::string bytes = read_file(package);
  if (bytes.starts_with("PK")) return read_zip_member(bytes, kFile, package.string());
  return bytes;
}

}  // namespace

int64_t write_clip_vocabulary(const fs::path& package, const fs::path& output) {
  const DownloadFolder scratch;
  const fs::path source = package.empty() ? download(scratch.path()) : package;
  const std::string bytes = read_package(source);
  const fs::path file = scratch.path() / kFile;
  write_file_atomically(file, bytes);
  const auto wrong = [&](const std::string& found) {
    return IoError(fmt::format("{}: expected CLIP's vocabulary ({} ids, digest {}), found {}", source.string(), kIds,
                               kClipDigest, found));
  };
  try {
    const Vocabulary vocabulary = Vocabulary::load(file);
    if (vocabulary.size() != kIds || vocabulary.digest() != kClipDigest) {
      throw wrong(fmt::format("{} ids, digest {}", vocabulary.size(), vocabulary.digest()));
    }
  } catch (const IoError& e) {
    const std::string reason = e.what();
    if (!reason.starts_with(file.string())) throw;
    throw wrong(fmt::format("another file ({})", reason.substr(reason.find_first_not_of(": ", file.string().size()))));
  }
  write_file_atomically(output, bytes);
  return kIds;
}

}  // namespace tessera::rils
