#include "rils/data/table.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/core/error.h"
#include "rils/data/image.h"
#include "tests/rils/data/test_files.h"

namespace tessera::rils {
namespace {

using Fields = std::vector<std::string>;

std::vector<Fields> records(std::string_view text, char separator = ',') {
  RecordReader reader(text, separator);
  std::vector<Fields> all;
  for (Fields fields; reader.next(fields);) all.push_back(fields);
  return all;
}

TEST(Records, Rfc4180) {
  EXPECT_EQ(records("a,b\r\nc,d\r\n"), (std::vector<Fields>{{"a", "b"}, {"c", "d"}}));
  EXPECT_EQ(records("a,\"b,c\"\n"), (std::vector<Fields>{{"a", "b,c"}}));
  EXPECT_EQ(records("\"say \"\"hi\"\"\",x"), (std::vector<Fields>{{"say \"hi\"", "x"}}));
  EXPECT_EQ(records("\"two\nlines\",x\ny,z"), (std::vector<Fields>{{"two\nlines", "x"}, {"y", "z"}}));
  EXPECT_EQ(records("a,,\n,\n"), (std::vector<Fields>{{"a", "", ""}, {"", ""}}));
  EXPECT_EQ(records("\n\r\na\n\n"), (std::vector<Fields>{{"a"}}));
  EXPECT_EQ(records("a\rb,c"), (std::vector<Fields>{{"a\rb", "c"}}));
  EXPECT_TRUE(records("").empty());
}

/// Quotes inside sentences, as in tab-separated files, do not swallow the lines after them.
TEST(Records, StrayQuotesArePlainCharacters) {
  EXPECT_EQ(records("\"Hi\" she said\tx\ny\tz", '\t'), (std::vector<Fields>{{"\"Hi\" she said", "x"}, {"y", "z"}}));
  EXPECT_EQ(records("\"open\tx\ny\tz", '\t'), (std::vector<Fields>{{"\"open", "x"}, {"y", "z"}}));
}

TEST(Records, BlanksAroundQuotesAreDropped) {
  EXPECT_EQ(records("a, \"b, c\" ,d\n"), (std::vector<Fields>{{"a", "b, c", "d"}}));
  EXPECT_EQ(records("a, b \"c\" ,d\n"), (std::vector<Fields>{{"a", " b \"c\" ", "d"}}));
  EXPECT_EQ(records("a  \"b\"", ' '), (std::vector<Fields>{{"a", "", "b"}}));
}

TEST(Records, LinesAreCounted) {
  RecordReader reader("a\n\n\"b\nb\",c\nd\n", ',');
  Fields fields;
  std::vector<int64_t> lines;
  while (reader.next(fields)) lines.push_back(reader.line());
  EXPECT_EQ(lines, (std::vector<int64_t>{1, 3, 5}));
}

class TableTest : public testing::Test {
 protected:
  CaptionTable read(const std::string& name, const std::string& text, const TableOptions& options = {}) {
    return read_caption_table(folder_.write(name, text), options);
  }
  std::string refusal(const std::string& name, const std::string& text, const TableOptions& options = {}) {
    try {
      (void)read(name, text, options);
    } catch (const ConfigError& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      return error.what();
    }
    return "accepted";
  }
  test::TemporaryFolder folder_;
};

TEST_F(TableTest, OpenClipsColumnsByDefault) {
  const auto table = read("a.csv", "title\tfilepath\nA dog\timages/1.jpg\nA cat, too\timages/2.jpg\n");
  ASSERT_EQ(table.entries.size(), 2u);
  EXPECT_EQ(table.entries[1].image, "images/2.jpg");
  EXPECT_EQ(table.entries[1].captions, Fields{"A cat, too"});
  EXPECT_EQ(table.path(table.entries[0]), folder_.path() / "images/1.jpg");
}

TEST_F(TableTest, SeparatorHeaderAndColumnsAreDetected) {
  for (const std::string text :
       {"image,caption\n1.jpg,\"A dog, running\"\n2.jpg,A cat\n", "1.jpg;A dog, running\n2.jpg;A cat\n",
        "\xef\xbb\xbf"
        "Image|Caption\n1.jpg|A dog, running\n2.jpg|A cat\n",
        "1.jpg\t0\tA dog, running\n2.jpg\t0\tA cat\n", "caption,path\r\n\"A dog, running\",1.jpg\r\nA cat,2.jpg\r\n"}) {
    SCOPED_TRACE(text);
    const auto table = read("t.csv", text);
    ASSERT_EQ(table.entries.size(), 2u);
    EXPECT_EQ(table.entries[0].image, "1.jpg");
    EXPECT_EQ(table.entries[0].captions, Fields{"A dog, running"});
    EXPECT_EQ(table.skipped.total(), 0);
  }
}

TEST_F(TableTest, ColumnsByNumberAndName) {
  TableOptions options;
  options.image_column = "1";
  options.caption_column = "3";
  EXPECT_EQ(read("n.tsv", "1.jpg\t0\tA dog\n2.jpg\t1\tA cat\n", options).entries.size(), 2u);
  EXPECT_EQ(read("h.tsv", "name\tnumber\tsentence\n1.jpg\t0\tA dog\n", options).entries[0].captions, Fields{"A dog"});
  options.image_column = "name";
  EXPECT_EQ(read("m.tsv", "name\tnumber\tsentence\n1.jpg\t0\tA dog\n", options).entries[0].image, "1.jpg");
  options.separator = "\\t";
  EXPECT_EQ(read("s.csv", "name\tnumber\tsentence\n1.jpg\t0\tA dog\n", options).entries[0].image, "1.jpg");
}

TEST_F(TableTest, RowsOfAnImageAreItsCaptions) {
  const auto table = read("f.tsv", "b.jpg\t0\tone\na.jpg\t0\ttwo\nb.jpg\t1\tthree\nb.jpg\t2\t \n");
  ASSERT_EQ(table.entries.size(), 2u);
  EXPECT_EQ(table.entries[0].image, "b.jpg");
  EXPECT_EQ(table.entries[0].captions, (Fields{"one", "three"}));
  EXPECT_EQ(table.empty_captions, 1);
  EXPECT_EQ(table.skipped.total(), 0);
}

TEST_F(TableTest, BadRowsAreCountedAndNamed) {
  const auto table = read("b.csv", "filepath,title\n1.jpg,A dog\nlonely\n2.jpg,\n3.jpg,a, b\n ,x\n");
  EXPECT_EQ(table.entries.size(), 2u);
  EXPECT_EQ(table.entries[1].captions, Fields{"a, b"});  // the last column is not quoted and takes the rest
  EXPECT_EQ(table.skipped.count(skip::kBadRow), 2);
  EXPECT_EQ(table.skipped.count(skip::kEmptyCaption), 1);
  EXPECT_EQ(table.skipped.entries().at(skip::kBadRow).example, "b.csv:3");
  EXPECT_EQ(table.skipped.entries().at(skip::kEmptyCaption).example, "2.jpg");
}

TEST_F(TableTest, MistakesGetOneClearLine) {
  TableOptions options;
  options.caption_column = "sentence";
  EXPECT_NE(refusal("a.csv", "filepath,title\n1.jpg,A dog\n", options)
                .find("no column 'sentence'; the first row is: filepath, title"),
            std::string::npos);
  options = {};
  options.image_column = "0";
  EXPECT_NE(refusal("b.csv", "filepath,title\n1.jpg,A dog\n", options).find("columns are numbered from 1"),
            std::string::npos);
  options.image_column = "4";
  EXPECT_NE(refusal("c.csv", "filepath,title\n1.jpg,A dog\n", options).find("numbered from 1 to 2"), std::string::npos);
  EXPECT_NE(refusal("d.csv", "   \n").find("empty"), std::string::npos);
  EXPECT_NE(refusal("e.csv", "nothing here\nat all\n").find("expected a table separated by tab"), std::string::npos);
  options = {};
  options.separator = "xx";
  EXPECT_NE(refusal("f.csv", "filepath,title\n", options).find("one character"), std::string::npos);
  EXPECT_THROW((void)read_caption_table(folder_.path() / "absent.csv", {}), IoError);
}

/// The tables of Flickr30k and Flickr8k, and headers with blanks after the commas.
TEST_F(TableTest, CommonTables) {
  const auto results = read("results.csv",
                            "image_name| comment_number| comment\n1.jpg| 0| A dog , running .\n1.jpg| 1| One dog .\n"
                            "2.jpg| 0| A cat .\n2.jpg| 4   A cat without a bar .\n");
  ASSERT_EQ(results.entries.size(), 2u);
  EXPECT_EQ(results.entries[0].captions, (Fields{"A dog , running .", "One dog ."}));
  EXPECT_EQ(results.skipped.count(skip::kBadRow), 1);
  EXPECT_EQ(results.skipped.entries().at(skip::kBadRow).example, "results.csv:5");
  for (const std::string header : {"", "image\tcaption\n"}) {
    const auto tokens = read("Flickr8k.token.txt", header + "1.jpg#0\tA dog .\n1.jpg#1\tOne dog .\n2.jpg#0\tA cat .\n");
    ASSERT_EQ(tokens.entries.size(), 2u);
    EXPECT_EQ(tokens.entries[0].image, "1.jpg");
    EXPECT_EQ(tokens.entries[0].captions, (Fields{"A dog .", "One dog ."}));
  }
  // Without a number on every name, the sign belongs to the name.
  EXPECT_EQ(read("n.tsv", "1.jpg#0\tA dog .\n2.jpg\tA cat .\n").entries[0].image, "1.jpg#0");
  const auto spaces = read("spaces.csv", "filepath, title\n1.jpg, \"A dog, running\"\n2.jpg, A cat\n");
  ASSERT_EQ(spaces.entries.size(), 2u);
  EXPECT_EQ(spaces.entries[0].captions, Fields{"A dog, running"});
  EXPECT_EQ(spaces.entries[1].captions, Fields{"A cat"});
  TableOptions named;
  named.caption_column = " Comment";
  EXPECT_EQ(read("named.csv", "image_name| comment\n1.jpg| A dog\n", named).entries[0].captions, Fields{"A dog"});
}

TEST_F(TableTest, RowsThatAQuoteTakesInAreCounted) {
  for (const std::string text : {"filepath\ttitle\n1.jpg\t\"A dog\n2.jpg\tA cat\"\n3.jpg\tA cow\n",
                                 "title\tfilepath\n\"A dog\t1.jpg\nA cat\"\t2.jpg\nA cow\t3.jpg\n"}) {
    const auto table = read("q.tsv", text);
    ASSERT_EQ(table.entries.size(), 1u);
    EXPECT_EQ(table.entries[0].captions, Fields{"A cow"});
    EXPECT_EQ(table.skipped.count(skip::kBadRow), 2);
    EXPECT_NE(table.skipped.describe().find("q.tsv:2: a quote without an end"), std::string::npos);
  }
  const auto commas = read("q.csv", "filepath,title\n1.jpg,\"A dog\n2.jpg,A cat\n3.jpg,\"A cow\"\n4.jpg,A hen\n");
  EXPECT_EQ(commas.entries.size() + static_cast<size_t>(commas.skipped.total()), 4u);
  // A caption of several lines is no row.
  const auto lines = read("l.csv", "filepath,title\n1.jpg,\"A dog,\nrunning, fast\"\n2.jpg,A cat\n");
  EXPECT_EQ(lines.entries.size(), 2u);
  EXPECT_EQ(lines.entries[0].captions, Fields{"A dog,\nrunning, fast"});
}

TEST_F(TableTest, CaptionsInOtherEncodings) {
  const std::string latin = "filepath,title\n1.jpg,gr\xfcn\n2.jpg,red\n1.jpg,green\n3.jpg,\xfc\n";
  const auto strict = read("latin.csv", latin);
  ASSERT_EQ(strict.entries.size(), 2u);
  EXPECT_EQ(strict.entries[1].captions, Fields{"green"});
  EXPECT_EQ(strict.skipped.count(skip::kBadEncoding), 2);
  EXPECT_NE(strict.skipped.describe().find("latin.csv:2: expected UTF-8; pretrain, inspect and"), std::string::npos);
  const auto read_as_latin = read_caption_table(folder_.path() / "latin.csv", {}, TextEncoding::windows_1252);
  ASSERT_EQ(read_as_latin.entries.size(), 3u);
  EXPECT_EQ(read_as_latin.entries[0].captions, (Fields{"grün", "green"}));
  for (const bool big : {false, true}) {
    std::string utf16 = big ? "\xfe\xff" : "\xff\xfe";
    for (const char c : latin) utf16 += big ? std::string{'\0', c} : std::string{c, '\0'};
    const auto table = read("utf16.csv", utf16);
    ASSERT_EQ(table.entries.size(), 3u);
    EXPECT_EQ(table.entries[0].captions, (Fields{"grün", "green"}));
    EXPECT_NE(refusal("unmarked.csv", utf16.substr(2)).find("UTF-16 without its mark"), std::string::npos);
    EXPECT_NE(refusal("odd.csv", utf16 + "x").find("damaged"), std::string::npos);
  }
}

/// Any bytes give rows or an error of one line.
TEST_F(TableTest, AnyBytesAreSurvived) {
  uint32_t state = 7;
  const auto next = [&state] { return (state = state * 1664525u + 1013904223u) >> 10; };
  const std::string_view alphabet = "a\",\t\n\r;1.jpg\"\"\xff";
  int tables = 0;
  for (int trial = 0; trial < 400; ++trial) {
    std::string text = "1.jpg,one\n";
    for (uint32_t i = next() % 200; i > 0; --i) text += alphabet[next() % alphabet.size()];
    try {
      tables += read("z.csv", text).entries.empty() ? 0 : 1;
    } catch (const ConfigError&) {
    }
  }
  EXPECT_GT(tables, 100);
}

}  // namespace
}  // namespace tessera::rils
