#pragma once

// What the tests of feeds share: a data set, and a console that remembers.
#include <cstdio>
#include <memory>
#include <string>

#include "engine/core/error.h"
#include "rils/data/dataset.h"
#include "rils/run/progress.h"

namespace tessera::test {

/// Colours in three classes, of which every seventh is bad: 26 of 30 are usable. A number from 0 on cannot be read at
/// all.
class Colours final : public rils::Dataset {
 public:
  explicit Colours(int64_t unreadable = -1) : unreadable_(unreadable) {}
  [[nodiscard]] int64_t size() const override { return 30; }
  [[nodiscard]] std::string name(int64_t index) const override { return std::to_string(index); }
  [[nodiscard]] rils::Sample load(int64_t index, bool /*with_image*/) const override {
    if (index == unreadable_) throw IoError("the disk is gone");
    if (index % 7 == 3) throw rils::SampleError(rils::skip::kMissingFile, "no such file");
    rils::Sample sample;
    sample.captions = {"caption " + name(index)};
    sample.label = static_cast<int32_t>(index % 3);
    rils::Image image(9, 7);
    for (size_t i = 0; i < image.pixels.size(); ++i)
      image.pixels[i] = static_cast<uint8_t>(5 * static_cast<size_t>(index) + i);
    sample.decoded = std::move(image);
    return sample;
  }

 private:
  int64_t unreadable_;
};

class RememberingConsole {
 public:
  RememberingConsole() : file_(std::tmpfile()), console_(std::make_unique<rils::Console>(file_)) {}
  ~RememberingConsole() {
    console_.reset();
    (void)std::fclose(file_);
  }
  RememberingConsole(const RememberingConsole&) = delete;
  RememberingConsole& operator=(const RememberingConsole&) = delete;

  rils::Console& operator*() { return *console_; }
  /// What it has been told.
  [[nodiscard]] std::string told() const {
    std::rewind(file_);
    std::string text(10000, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), file_));
    return text;
  }

 private:
  std::FILE* file_;
  std::unique_ptr<rils::Console> console_;
};

}  // namespace tessera::test
