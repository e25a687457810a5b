// Rules of the source tree that no compiler checks.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/lint/sources.h"

namespace tessera::test {
namespace {

constexpr auto kFolders = {"engine", "autograd", "nn", "rils", "apps", "tests", "benchmarks"};
constexpr auto kLibraries = {"engine", "autograd", "nn", "rils"};
constexpr int kMostLines = 600;

/// A folder includes itself and the folders before it; tests and benchmarks include everything.
const std::map<std::string, int> kRank{{"engine", 0}, {"autograd", 1}, {"nn", 2},        {"rils", 3},
                                       {"apps", 4},   {"tests", 5},    {"benchmarks", 5}};

/// The same rule for the second-level folders of engine and rils.
const std::map<std::string, std::vector<std::string>> kOrder{
    {"engine", {"core", "memory", "runtime", "tensor", "ops", "cpu", "cuda"}},
    {"rils",
     {"text", "data", "prepare", "config", "run", "model", "method", "train", "eval", "picture", "pretrain", "finetune",
      "convert", "query", "inspect"}}};

/// The parts of a path: {"rils", "method", "gate.h"}.
std::vector<std::string> parts_of(const std::filesystem::path& path) { return {path.begin(), path.end()}; }
std::string first_part(const std::string& path) { return parts_of(path).front(); }

TEST(Includes, RunInOneDirection) {
  int seen = 0;
  for (const auto& path : sources(kFolders, {".h", ".cpp", ".cu"})) {
    const std::string folder = first_part(name_in_tree(path));
    for (const std::string& target : includes_of_ours(read(path))) {
      const auto rank = kRank.find(first_part(target));
      ASSERT_NE(rank, kRank.end()) << name_in_tree(path) << " includes " << target << ", not from the root of the tree";
      EXPECT_LE(rank->second, kRank.at(folder)) << name_in_tree(path) << " includes " << target;
      ++seen;
    }
  }
  EXPECT_GT(seen, 100);
}

TEST(Includes, RunInOneDirectionInsideAFolderToo) {
  int seen = 0;
  for (const auto& [folder, order] : kOrder) {
    const auto place = [&](const std::vector<std::string>& parts) {
      const auto found = std::ranges::find(order, parts[1]);
      EXPECT_NE(found, order.end()) << folder << "/" << parts[1] << " has no place in the order";
      return found - order.begin();
    };
    for (const auto& path : sources({folder.c_str()}, {".h", ".cpp", ".cu"})) {
      const auto parts = parts_of(name_in_tree(path));
      if (parts.size() < 3) continue;
      for (const std::string& target : includes_of_ours(read(path))) {
        const auto there = parts_of(target);
        if (there.front() != folder || there.size() < 3) continue;
        EXPECT_LE(place(there), place(parts)) << name_in_tree(path) << " includes " << target;
        ++seen;
      }
    }
  }
  EXPECT_GT(seen, 300);
}

TEST(Includes, OfOurFilesExist) {
  for (const auto& path : sources(kFolders, {".h", ".cpp", ".cu"})) {
    for (const std::string& target : includes_of_ours(read(path))) {
      EXPECT_TRUE(std::filesystem::exists(source_root() / target)) << name_in_tree(path) << " includes " << target;
    }
  }
}

/// Users of the libraries need only the standard library. The processor's intrinsics belong to the kernels, and CUDA's
/// headers to the backend, whose own headers are not installed.
TEST(Includes, OfOtherLibrariesStayOutOfPublicHeaders) {
  for (const auto& path : sources(kLibraries, {".h"})) {
    const std::string name = name_in_tree(path);
    for (const auto& m : matches("\n" + read(path), "\n[ \t]*#[ \t]*include[ \t]*<([^>]+)>")) {
      const bool standard = is_standard(m[1]);
      const bool kernel = name.starts_with("engine/cpu/") && m[1] == "immintrin.h";
      const bool device = name.starts_with("engine/cuda/") && is_for_device(m[1]);
      EXPECT_TRUE(standard || kernel || device) << name << " includes <" << m[1] << ">";
    }
  }
}

TEST(Headers, AreGuardedAndImportNoNamespace) {
  for (const auto& path : sources(kFolders, {".h"})) {
    const std::string name = name_in_tree(path);
    const std::string text = read(path);
    // Two files open and close a region of instructions, once in each file that includes them.
    const bool region = name.ends_with("isa_begin.h") || name.ends_with("isa_end.h");
    EXPECT_TRUE(region || text.find("#pragma once") != std::string::npos) << name << " lacks #pragma once";
    EXPECT_EQ(text.find("using namespace"), std::string::npos) << name;
  }
}

TEST(Files, AreSmallRooms) {
  for (const auto& path : sources(kFolders, {".h", ".cpp", ".cu"})) {
    const std::string text = read(path);
    const auto lines = std::ranges::count(text, '\n');
    EXPECT_LE(lines, kMostLines) << name_in_tree(path);
    EXPECT_TRUE(text.empty() || text.back() == '\n') << name_in_tree(path) << " does not end in a newline";
  }
}

/// A folder has a README of its own, or is described by name in that of the folder above it.
TEST(Folders, SayWhatLivesInThem) {
  std::set<std::filesystem::path> folders;
  for (const auto& path : sources(kFolders, {".h", ".cpp", ".cu", ".py", ".sh", ".toml"}))
    folders.insert(path.parent_path());
  EXPECT_GT(folders.size(), 50U);
  for (const auto& folder : folders) {
    const bool own = std::filesystem::exists(folder / "README.md");
    const auto above = folder.parent_path() / "README.md";
    const bool described =
        std::filesystem::exists(above) && read(above).find("`" + folder.filename().string() + "/") != std::string::npos;
    EXPECT_TRUE(own || described) << name_in_tree(folder) << " has no README.md";
  }
}

}  // namespace
}  // namespace tessera::test
