#include "rils/prepare/rasterise.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <utility>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/core/philox.h"
#include "engine/runtime/thread_pool.h"
#include "rils/prepare/run_program.h"

namespace tessera::rils {
namespace {

constexpr std::chrono::seconds kTimeLimit(20);

}  // namespace

Rasteriser::Rasteriser(std::filesystem::path program, std::filesystem::path cache, int size)
    : program_(std::move(program)), cache_(std::move(cache)), size_(size) {
  if (const std::string reason = run_program({program_.string(), "--version"}, kTimeLimit); !reason.empty())
    throw IoError(fmt::format(
        "rsvg-convert: {}; it is needed for the clip art and belongs to the Debian package librsvg2-bin", reason));
  std::filesystem::create_directories(cache_);
}

std::filesystem::path Rasteriser::one(const std::filesystem::path& svg, std::string& reason) const {
  const std::string bytes = read_file(svg);
  auto png = cache_ / fmt::format("{:016x}-{}.png", fnv1a64(bytes), size_);
  if (std::filesystem::exists(png)) return png;
  static std::atomic<uint64_t> counter{0};  // two threads may draw equal files at the same time
  auto temporary = png;
  temporary += fmt::format(".{}.{}", getpid(), counter++);
  const std::string size = std::to_string(size_);
  reason = run_program({program_.string(), "--keep-aspect-ratio", "--width", size, "--height", size, "--output",
                        temporary.string(), std::filesystem::absolute(svg).string()},
                       kTimeLimit);
  std::error_code error;
  if (reason.empty()) {
    std::filesystem::rename(temporary, png, error);
    if (!error) return png;
    reason = "rsvg-convert wrote no picture";
  }
  std::filesystem::remove(temporary, error);
  return {};
}

std::vector<std::filesystem::path> Rasteriser::run(const std::vector<std::filesystem::path>& svgs, ThreadPool& pool,
                                                   std::vector<RasteriseFailure>& failures,
                                                   const std::function<void(int64_t)>& finished) const {
  std::vector<std::filesystem::path> pngs(svgs.size());
  std::vector<std::string> reasons(svgs.size());
  std::atomic<int64_t> done{0};
  const auto total = static_cast<int64_t>(svgs.size());
  pool.run(total, [&](int64_t i, int thread) {
    const auto at = static_cast<size_t>(i);
    try {
      pngs[at] = one(svgs[at], reasons[at]);
    } catch (const IoError& e) {
      reasons[at] = e.what();
    }
    const int64_t count = ++done;
    if (thread == 0 && finished && count < total) finished(count);
  });
  if (finished) finished(total);
  for (size_t i = 0; i < svgs.size(); ++i)
    if (pngs[i].empty()) failures.push_back({svgs[i], reasons[i]});
  return pngs;
}

}  // namespace tessera::rils
