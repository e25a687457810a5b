// The programs as processes: help, version, exit codes, and what a dry run leaves.
#include <algorithm>
#include <set>
#include <sstream>

#include "apps/common/other_names.h"
#include "engine/core/atomic_file.h"
#include "rils/data/shard_writer.h"
#include "tests/apps/tiny_run.h"

namespace tessera::test {
namespace {

namespace fs = std::filesystem;

using Programs = TinyRuns;

TEST_F(Programs, AllHaveHelp) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> programs = {
      {"pretrain", {}},
      {"evaluate", {"retrieval", "zero-shot", "knn"}},
      {"inspect", {"model", "gradients", "tokens", "checkpoint"}},
      {"prepare", {"default", "captions", "folder", "vocabulary"}}};
  for (const auto& [program, subcommands] : programs) {
    const Outcome help = run(program, {"--help"});
    EXPECT_EQ(help.code, 0) << program;
    EXPECT_NE(help.out.find("Usage: " + program), std::string::npos) << help.out;
    EXPECT_LE(std::ranges::count(help.out, '\n'), 100) << program;
    for (const std::string& sub : subcommands) {
      EXPECT_NE(help.out.find("  " + sub + " "), std::string::npos)
          << "--help of " << program << " does not list " << sub;
      EXPECT_EQ(run(program, {sub, "--help"}).code, 0) << program << ' ' << sub;
    }
    EXPECT_EQ(run(program, {"--version"}).code, 0);
    const Outcome wrong = run(program, {"--nonsense"});
    EXPECT_EQ(wrong.code, 2) << program;
    EXPECT_EQ(wrong.err, "error: unknown option --nonsense (--help lists the options)\n");
    EXPECT_EQ(std::ranges::count(wrong.err, '\n'), 1);
    EXPECT_EQ(run(program, {}).code, 2) << program << " without anything";
  }
}

/// Every word that begins with two dashes.
std::set<std::string> options_in(const std::string& text) {
  std::set<std::string> found;
  for (size_t at = 0; (at = text.find("--", at)) != std::string::npos;) {
    const size_t end = std::min(text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-", at), text.size());
    found.insert(text.substr(at, end - at));
    at = end;
  }
  return found;
}

TEST_F(Programs, HaveTheOptionsThatTheyNameForThoseOfOthers) {
  std::set<std::string> options, subcommands;
  for (const char* program : {"pretrain", "finetune", "evaluate", "query", "inspect", "prepare"}) {
    const std::string help = run(program, {"-h"}).out;
    options.merge(options_in(help));
    const size_t list = help.find("Subcommands:\n");
    if (list == std::string::npos) continue;
    std::istringstream lines(help.substr(list));
    std::string line;
    for (std::getline(lines, line); std::getline(lines, line);) {
      if (!line.starts_with("  ") || line.starts_with("   ")) continue;
      const std::string name = line.substr(2, line.find(' ', 2) - 2);
      subcommands.insert(name);
      options.merge(options_in(run(program, {name, "-h"}).out));
    }
  }
  ASSERT_TRUE(subcommands.contains("zero-shot"));
  ASSERT_TRUE(options.contains("--train-data"));
  options.insert("--clip-grad");  // the other name of --grad-clip-norm in pretrain
  options.insert("--min-lr");
  for (const apps::OtherNames& row : apps::other_options()) {
    for (const std::string_view ours : row.ours) {
      EXPECT_TRUE(options.contains("--" + std::string(ours.substr(0, ours.find(' '))))) << ours;
    }
    for (const std::string& named : options_in(std::string(row.text))) EXPECT_TRUE(options.contains(named)) << named;
    EXPECT_FALSE(row.ours.empty() && row.text.empty()) << row.names.front();
  }
  for (const apps::OtherNames& row : apps::other_subcommands()) {
    for (const std::string_view ours : row.ours) EXPECT_TRUE(subcommands.contains(std::string(ours))) << ours;
    for (const std::string_view name : row.names) EXPECT_FALSE(subcommands.contains(std::string(name))) << name;
  }
}

TEST_F(Programs, MainsStaySmall) {
  for (const auto& entry : fs::recursive_directory_iterator(TESSERA_SOURCE_DIR "/apps")) {
    if (entry.path().filename() != "main.cpp") continue;
    EXPECT_LE(std::ranges::count(read_file(entry.path()), '\n'), 60) << entry.path();
  }
}

TEST_F(Programs, AVocabularyKnowsNoWordWithItsComma) {
  folder().write("a.png", rils::encode_png(flat_image(200, 32, 32)));
  folder().write("table.tsv", "filepath\ttitle\na.png\ta ball, a red ball, and a red ball, and more\n");
  ASSERT_EQ(run("prepare", {"captions", "--table", "table.tsv", "--out", "data"}).code, 0);
  const Outcome made =
      run("prepare", {"vocabulary", "--captions", "data/train", "--size", "520", "--out", "words.txt"});
  ASSERT_EQ(made.code, 0) << made.err;
  const std::string merges = read_file(root() / "words.txt");
  EXPECT_NE(merges.find("b all</w>"), std::string::npos) << merges;
  EXPECT_EQ(merges.find(','), std::string::npos) << merges;
}

TEST_F(Programs, ADryRunWritesNothing) {
  const Outcome dry = train("dry", {"--dry-run"});
  EXPECT_NE(dry.out.find("step 3: "), std::string::npos) << dry.out;
  EXPECT_NE(dry.out.find("nothing was written"), std::string::npos) << dry.out;
  EXPECT_TRUE(fs::is_empty(root())) << "the run's folder, or anything else";
}

}  // namespace
}  // namespace tessera::test
