// Every harness on its corpus and on a fixed number of damaged copies of it: the regression test of the fuzzers.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <set>

#include "engine/core/atomic_file.h"
#include "engine/core/philox.h"
#include "tests/fuzz/harness.h"
#include "tests/fuzz/mutator.h"

namespace tessera::fuzz {

/// What googletest prints of a parameter.
static void PrintTo(const Harness& harness, std::ostream* out) { *out << harness.name; }

namespace {

namespace fs = std::filesystem;

constexpr int kDamaged = 300;  // inputs made of each corpus

fs::path corpus_folder() { return fs::path(TESSERA_SOURCE_DIR) / "tests/fuzz/corpus"; }

std::vector<std::string> corpus_of(const std::string& name) {
  std::vector<fs::path> paths;
  if (fs::is_directory(corpus_folder() / name)) {
    for (const auto& entry : fs::directory_iterator(corpus_folder() / name)) paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  std::vector<std::string> inputs;
  for (const fs::path& path : paths) inputs.push_back(read_file(path));
  return inputs;
}

/// Keeps the input that is being read: it stays when a sanitizer ends the process.
class Kept {
 public:
  explicit Kept(const std::string& name) : path_(fs::path(TESSERA_BIN_DIR) / ("test_fuzz." + name + ".input")) {}
  ~Kept() {
    std::error_code ignored;
    if (!failed_) fs::remove(path_, ignored);
  }
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  void put(std::string_view input) const { std::ofstream(path_, std::ios::binary) << input; }
  std::string keep() {
    failed_ = true;
    return path_.string();
  }

 private:
  fs::path path_;
  bool failed_ = false;
};

class Fuzzing : public testing::TestWithParam<Harness> {};

TEST_P(Fuzzing, FindsNothing) {
  const std::vector<std::string> corpus = corpus_of(GetParam().name);
  ASSERT_FALSE(corpus.empty()) << "tests/fuzz/corpus has no folder " << GetParam().name;
  Kept kept(GetParam().name);
  int accepted = 0;
  const auto read = [&](const std::string& input) {
    kept.put(input);
    try {
      accepted += fuzz::run(GetParam(), input) ? 1 : 0;
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what() << "\nthe input is in " << kept.keep();
      return false;
    }
    return true;
  };
  for (const std::string& input : corpus) ASSERT_TRUE(read(input));
  EXPECT_GT(accepted, 0) << "a corpus has an input that is accepted";
  Mutator mutator(corpus, fnv1a64(GetParam().name));
  for (int i = 0; i < kDamaged; ++i) ASSERT_TRUE(read(mutator.next())) << "damaged input " << i;
}

INSTANTIATE_TEST_SUITE_P(Readers, Fuzzing, testing::ValuesIn(harnesses()),
                         [](const auto& harness) { return harness.param.name; });

TEST(Corpus, BelongsToHarnesses) {
  std::set<std::string> names;
  for (const Harness& harness : harnesses()) EXPECT_TRUE(names.insert(harness.name).second) << harness.name;
  EXPECT_GT(names.size(), 20U);
  for (const auto& entry : fs::directory_iterator(corpus_folder())) {
    EXPECT_TRUE(names.contains(entry.path().filename().string())) << entry.path();
  }
}

TEST(Mutator, GivesTheSameInputsForASeed) {
  const std::vector<std::string> corpus = {"{\"step\": 12}", "abc"};
  Mutator one(corpus, 7), same(corpus, 7), other(corpus, 8);
  std::set<std::string> distinct;
  bool differs = false;
  for (int i = 0; i < 200; ++i) {
    const std::string made = one.next();
    EXPECT_EQ(made, same.next());
    differs = differs || made != other.next();
    distinct.insert(made);
  }
  EXPECT_TRUE(differs);
  EXPECT_GT(distinct.size(), 150U);
}

TEST(Harnesses, TellFindingsFromErrors) {
  const Harness refuses{"refuses", [](std::string_view) { throw IoError("no"); }};
  const Harness reads{"reads", [](std::string_view) {}};
  const Harness breaks{"breaks", [](std::string_view) { expect(false, "something"); }};
  const Harness leaks{"leaks", [](std::string_view) { (void)std::string().at(1); }};
  const Harness other{"other", [](std::string_view) { (void)accepts<ConfigError>([] { throw IoError("no"); }); }};
  EXPECT_FALSE(fuzz::run(refuses, ""));
  EXPECT_TRUE(fuzz::run(reads, ""));
  EXPECT_THROW((void)fuzz::run(breaks, ""), Finding);
  EXPECT_THROW((void)fuzz::run(leaks, ""), std::out_of_range);
  EXPECT_THROW((void)fuzz::run(other, ""), Finding);
}

}  // namespace
}  // namespace tessera::fuzz
