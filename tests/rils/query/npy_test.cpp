#include "rils/query/npy.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;

class Npy : public ::testing::Test {
 protected:
  Npy() : path_(fs::path(testing::TempDir()) / ("tessera_npy_" + std::to_string(::getpid()))) {}
  ~Npy() override { fs::remove(path_); }
  fs::path path_;
};

TEST_F(Npy, WritesWhatNumpyWrites) {
  write_npy(path_, Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3}));
  const std::string text = read_file(path_);
  // Bytes of numpy.save for the same array.
  const std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
  ASSERT_EQ(text.size(), 128U + 24U);
  EXPECT_EQ(text.substr(0, 10), "\x93NUMPY\x01\x00\x76\x00"s);
  EXPECT_EQ(text.substr(10, 118), header + std::string(117 - header.size(), ' ') + "\n");
  EXPECT_EQ(text.substr(128, 8), "\x00\x00\x80\x3f\x00\x00\x00\x40"s);
}

TEST_F(Npy, ReadsBackAViewOfColumns) {
  const Tensor whole = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  write_npy(path_, whole.slice(1, 1, 2));
  const Tensor read = read_npy(path_);
  EXPECT_EQ(std::vector<float>(read.data<float>().begin(), read.data<float>().end()), (std::vector<float>{2, 3, 5, 6}));
}

TEST_F(Npy, RefusesOtherContent) {
  write_npy(path_, Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3}));
  const std::string good = read_file(path_);
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  for (const std::string& bad :
       {""s, "hello"s, good.substr(0, 9), good.substr(0, 60), good.substr(0, 151), good + "x", changed("<f4", "<f8"),
        changed("False", "True "), changed("(2, 3)", "(6,)  "), changed("(2, 3)", "(0, 3)"),
        changed("(2, 3)", "(-2,3)"), changed("(2, 3), }", "(4611686018427387905, 4), }")}) {
    write_file_atomically(path_, bad);
    EXPECT_THROW((void)read_npy(path_), IoError) << bad.substr(0, 80);
  }
}

}  // namespace
}  // namespace tessera::rils
