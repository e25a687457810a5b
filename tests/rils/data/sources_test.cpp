#include "rils/data/sources.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/core/error.h"
#include "tests/rils/data/test_files.h"

namespace tessera::rils {
namespace {

using Words = std::vector<std::string>;

TEST(Braces, ExpandAsInAShell) {
  EXPECT_EQ(expand_braces("plain.tar"), Words{"plain.tar"});
  EXPECT_EQ(expand_braces("{00008..00011}.tar"), (Words{"00008.tar", "00009.tar", "00010.tar", "00011.tar"}));
  EXPECT_EQ(expand_braces("{8..11}"), (Words{"8", "9", "10", "11"}));
  EXPECT_EQ(expand_braces("{3..1}"), (Words{"3", "2", "1"}));
  EXPECT_EQ(expand_braces("a{x,y,}b"), (Words{"axb", "ayb", "ab"}));
  EXPECT_EQ(expand_braces("{a,b}{0..1}"), (Words{"a0", "a1", "b0", "b1"}));
  EXPECT_EQ(expand_braces("{a,b{1,2}}c"), (Words{"ac", "b1c", "b2c"}));
  EXPECT_EQ(expand_braces("{7..7}"), Words{"7"});
}

TEST(Braces, RefuseWhatDoesNotEnd) {
  EXPECT_THROW((void)expand_braces("{0..3"), ConfigError);
  EXPECT_THROW((void)expand_braces("{0..99999999999}"), ConfigError);
  EXPECT_THROW((void)expand_braces("{0..99999}{0..99999}"), ConfigError);
  // Names of four gigabytes; braces that would use up the stack.
  EXPECT_THROW((void)expand_braces("{0..999999}" + std::string(4096, 'a')), ConfigError);
  EXPECT_THROW((void)expand_braces(std::string(100'000, '{') + std::string(100'000, '}')), ConfigError);
  std::string row;
  for (int i = 0; i < 100'000; ++i) row += "{a}";
  EXPECT_THROW((void)expand_braces(row), ConfigError);
}

TEST(Sources, NaturalOrder) {
  EXPECT_TRUE(natural_less("2.tar", "10.tar"));
  EXPECT_FALSE(natural_less("10.tar", "2.tar"));
  EXPECT_TRUE(natural_less("a2b3", "a2b10"));
  EXPECT_TRUE(natural_less("01", "1"));
  EXPECT_FALSE(natural_less("1", "01"));
  EXPECT_TRUE(natural_less("a", "ab"));
  EXPECT_FALSE(natural_less("x", "x"));
}

TEST(Sources, BracesGlobsAndJoins) {
  const test::TemporaryFolder folder;
  for (const std::string name : {"0.tar", "1.tar", "2.tar", "10.tar", "other.csv", "we{i}rd*.tar"})
    folder.write(name, "x");
  const std::string base = folder.path().string() + "/";
  const auto names = [&](const std::string& sources) {
    Words found;
    for (const auto& path : expand_sources(sources)) found.push_back(path.filename().string());
    return found;
  };
  EXPECT_EQ(names(base + "{0..2}.tar"), (Words{"0.tar", "1.tar", "2.tar"}));
  EXPECT_EQ(names(base + "[0-9]*.tar"), (Words{"0.tar", "1.tar", "2.tar", "10.tar"}));
  EXPECT_EQ(names(base + "other.csv::" + base + "{1..2}.tar"), (Words{"other.csv", "1.tar", "2.tar"}));
  EXPECT_EQ(names(base + "we{i}rd*.tar"), Words{"we{i}rd*.tar"});
}

TEST(Sources, WhatIsMissingIsNamed) {
  const test::TemporaryFolder folder;
  folder.write("0.tar", "x");
  const std::string base = folder.path().string() + "/";
  try {
    (void)expand_sources(base + "{0..3}.tar");
    FAIL();
  } catch (const IoError& error) {
    EXPECT_EQ(std::string(error.what()), base + "1.tar: the file or folder does not exist");
  }
  EXPECT_THROW((void)expand_sources(base + "*.csv"), ConfigError);
  EXPECT_THROW((void)expand_sources(""), ConfigError);
  EXPECT_THROW((void)expand_sources(base + "0.tar::"), ConfigError);
  EXPECT_THROW((void)expand_sources("https://example.org/{0..3}.tar"), ConfigError);
  EXPECT_THROW((void)expand_sources("pipe:curl x"), ConfigError);
}

}  // namespace
}  // namespace tessera::rils
