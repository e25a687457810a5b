#include "nn/io/safetensors.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/core/philox.h"

namespace tessera::nn {
namespace {

class SafetensorsTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) / ("safetensors_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::filesystem::path path(const char* name = "x.safetensors") const { return folder_ / name; }

  void write_raw(const std::string& header, const std::string& data) const {
    const uint64_t size = header.size();
    std::string text(reinterpret_cast<const char*>(&size), 8);
    write_plain("x.safetensors", text + header + data);
  }
  /// Without a sync to the disk, which would take nearly all of the time of many small files.
  void write_plain(const char* name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
  }
  void expect_error(const std::string& header, const std::string& data, const std::string& part) const {
    write_raw(header, data);
    try {
      const SafetensorsFile file(path());
      FAIL() << "accepted " << header;
    } catch (const IoError& e) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find(path().string()), std::string::npos) << e.what();
      EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    }
  }

  std::filesystem::path folder_;
};

TEST_F(SafetensorsTest, RoundTripKeepsBitsShapesAndMetadata) {
  const std::vector<NamedTensor> tensors = {
      {"a", Tensor::from(std::vector<float>{1.5f, -0.0f, 3e-39f}, {3})},
      {"scalar", Tensor::full({}, 2.25, DType::f64)},
      {"empty", Tensor::empty({0, 7})},
      {"half", Tensor::from(std::vector<bfloat16>{bfloat16(1.0f), bfloat16(-2.0f)}, {2, 1})},
      {"ids", Tensor::from(std::vector<int32_t>{-1, 49407}, {1, 2})},
      {"bytes", Tensor::from(std::vector<uint8_t>{0, 255}, {2})}};
  write_safetensors(path(), tensors, {{"config", "a = \"ü\"\n"}});
  const SafetensorsFile file(path());
  EXPECT_EQ(file.tensors().size(), tensors.size());
  EXPECT_EQ(file.metadata().at("config"), "a = \"ü\"\n");
  for (const auto& t : tensors) {
    const Tensor found = file.load(t.name);
    ASSERT_EQ(describe(found), describe(t.tensor)) << t.name;
    EXPECT_EQ(std::memcmp(found.pointer(), t.tensor.pointer(), t.tensor.bytes()), 0) << t.name;
  }
  EXPECT_THROW((void)file.load("absent"), IoError);
}

TEST_F(SafetensorsTest, AFlippedBitIsFound) {
  const std::vector<NamedTensor> tensors = {{"b", Tensor::from(std::vector<float>{1, 2, 3}, {3})},
                                            {"a", Tensor::empty({0})},
                                            {"c", Tensor::from(std::vector<uint8_t>{7}, {1, 1})}};
  const std::string sum = write_checked_safetensors(path(), tensors, {{"step", "12"}, {"bad", "\xff"}});
  EXPECT_EQ(SafetensorsFile(path()).stated_checksum(), sum);
  EXPECT_NO_THROW(SafetensorsFile(path()).check_content());
  const std::string whole = read_file(path());
  for (size_t at = 0; at < whole.size(); ++at) {
    if (whole[at] == ' ') continue;  // between the header and the data; it carries nothing
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1 << at % 8);
    write_file_atomically(path(), changed);
    try {
      const SafetensorsFile file(path());
      file.check_content();
      EXPECT_EQ(file.stated_checksum(), "") << "byte " << at;  // its own name was hit: a file without one
    } catch (const IoError&) {
    }
  }
  write_safetensors(path(), tensors, {{"step", "12"}});
  EXPECT_EQ(SafetensorsFile(path()).stated_checksum(), "");
  EXPECT_NO_THROW(SafetensorsFile(path()).check_content());
}

TEST_F(SafetensorsTest, APointerOfGitLfsIsNamed) {
  write_file_atomically(path(), "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 134\n");
  try {
    (void)SafetensorsFile(path());
    ADD_FAILURE() << "nothing thrown";
  } catch (const IoError& e) {
    EXPECT_NE(std::string(e.what()).find("Git LFS"), std::string::npos) << e.what();
  }
}

TEST_F(SafetensorsTest, HalfPrecisionIsWidenedExactly) {
  std::vector<uint16_t> every(65536);
  std::iota(every.begin(), every.end(), uint16_t{0});
  const std::string data(reinterpret_cast<const char*>(every.data()), 2 * every.size());
  write_raw(R"({"a":{"dtype":"F16","shape":[2,32768],"data_offsets":[0,131072]}})", data);
  const SafetensorsFile file(path());
  EXPECT_TRUE(file.tensors().at("a").half);
  const Tensor found = file.load("a");
  ASSERT_EQ(describe(found), describe(Tensor::empty({2, 32768})));
  const std::span<float> values = found.data<float>();
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const int exponent = static_cast<int>(bits >> 10), fraction = static_cast<int>(bits & 0x3ff);
    const double expected = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    ASSERT_EQ(values[bits], expected) << bits;
    ASSERT_EQ(values[bits + 0x8000], -expected) << bits;
    ASSERT_EQ(std::signbit(values[bits + 0x8000]), true) << bits;
  }
  EXPECT_EQ(values[0x7c00], std::numeric_limits<float>::infinity());
  EXPECT_EQ(values[0xfc00], -std::numeric_limits<float>::infinity());
  for (uint32_t bits = 0x7c01; bits < 0x8000; ++bits) {
    ASSERT_TRUE(std::isnan(values[bits]) && std::isnan(values[bits + 0x8000])) << bits;
  }
}

TEST_F(SafetensorsTest, HostileHeadersGiveOneClearError) {
  expect_error("", "", "not JSON");
  expect_error("[]", "", "not an object");
  expect_error(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "1234", "cut short");
  expect_error(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "1234", "size of its shape");
  expect_error(R"({"a":{"dtype":"F16","shape":[1],"data_offsets":[0,4]}})", "1234", "size of its shape");
  expect_error(R"({"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}})", "1234", "dtype");
  expect_error(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "1234", "extent");
  expect_error(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})", "1234", "too large");
  expect_error(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "12345678", "outside");
  expect_error(
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
      "1234", "overlap");
  expect_error(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", "12345678", "holes");
  expect_error(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "12345678", "bytes of data");
  expect_error(
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
      "1234", "twice");
  expect_error(R"({"__metadata__":{"x":1}})", "", "expected a string");
  expect_error(R"({"a":1})", "", "expected dtype");
  expect_error(R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1],"data_offsets":[0,1]}})", "1", "rank");
  expect_error(std::string(200000, '['), "", "not JSON");
}

/// Time in proportion to the number of tensors: with its square, this would take minutes.
TEST_F(SafetensorsTest, HeadersWithManyTensorsAreRead) {
  constexpr int kCount = 100'000;
  std::string header = "{";
  for (int i = 0; i < kCount; ++i) {
    header +=
        fmt::format(R"({}"t{}":{{"dtype":"U8","shape":[1],"data_offsets":[{},{}]}})", i == 0 ? "" : ",", i, i, i + 1);
  }
  header += "}";
  const uint64_t length = header.size();
  std::ofstream(path(), std::ios::binary).write(reinterpret_cast<const char*>(&length), 8)
      << header << std::string(kCount, 'x');
  EXPECT_EQ(SafetensorsFile(path()).tensors().size(), size_t{kCount});
}

/// The first eight bytes give the header's length; the format limits it to 100,000,000 bytes.
TEST_F(SafetensorsTest, TheLengthOfTheHeaderIsBounded) {
  const auto message = [&](uint64_t length, uint64_t file_size) {
    std::ofstream(path(), std::ios::binary).write(reinterpret_cast<const char*>(&length), 8);
    std::filesystem::resize_file(path(), file_size);  // zeros without blocks on the disk
    try {
      const SafetensorsFile file(path());
      return std::string("accepted");
    } catch (const IoError& e) {
      return std::string(e.what());
    }
  };
  const auto refused = [&](uint64_t length, uint64_t file_size) {
    return message(length, file_size).find("a header of " + std::to_string(length) + " bytes") != std::string::npos;
  };
  EXPECT_TRUE(refused(100'000'001, 200'000'000));
  EXPECT_TRUE(refused(uint64_t{1} << 32, (uint64_t{1} << 32) + 100));
  EXPECT_NE(message(100'000'000, 200'000'000).find("not JSON"), std::string::npos) << "the limit itself is read";
  EXPECT_TRUE(refused(57, 64)) << "one byte beyond the file";
  EXPECT_NE(message(56, 64).find("not JSON"), std::string::npos) << "all of the file is read";
  for (const uint64_t length : {std::numeric_limits<uint64_t>::max(), std::numeric_limits<uint64_t>::max() - 7,
                                uint64_t{1} << 63, std::numeric_limits<uint64_t>::max() - 8}) {
    EXPECT_TRUE(refused(length, 64)) << length;
  }
}

TEST_F(SafetensorsTest, LengthsThatOverflowAreErrors) {
  const auto entry = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return R"({"a":{"dtype":")" + dtype + R"(","shape":[)" + shape + R"(],"data_offsets":[)" + offsets + "]}}";
  };
  const std::string large = "281474976710656";  // 2⁴⁸
  expect_error(entry("U8", "281474976710657", "0,4"), "1234", "too large");
  expect_error(entry("U8", large, "0,4"), "1234", "size of its shape");
  expect_error(entry("U8", large + ",65536", "0,0"), "", "too large");   // 2⁶⁴ elements
  expect_error(entry("F64", large + ",8192", "0,0"), "", "too large");   // 2⁶¹ elements, 2⁶⁴ bytes
  expect_error(entry("F16", large + ",32768", "0,0"), "", "too large");  // 2⁶³ elements, 2⁶⁴ bytes
  expect_error(entry("U8", "0," + large + ",281474976710657", "0,0"), "", "too large");
  expect_error(entry("U8", "0," + large + "," + large, "0,0"), "", "too large");  // its strides
  expect_error(entry("U8", "4", "0,18446744073709551615"), "1234", "outside");
  expect_error(entry("U8", "4", "18446744073709551612,18446744073709551615"), "1234", "outside");
  expect_error(entry("U8", "4", "0,18446744073709551620"), "1234", "an offset");
  expect_error(entry("U8", "4", "-4,0"), "1234", "an offset");
  expect_error(entry("U8", "4", "0,5"), "1234", "outside");
  expect_error(entry("U8", "1.0", "0,1"), "1", "extent");
  write_raw(entry("U8", "1,1,1,1,1,4", "0,4"), "1234");
  EXPECT_EQ(SafetensorsFile(path()).load("a").shape(), (Shape{1, 1, 1, 1, 1, 4})) << "rank 6 is the largest";
}

TEST_F(SafetensorsTest, EveryCutIsAnError) {
  write_safetensors(path(), std::vector<NamedTensor>{{"a", Tensor::full({5}, 1.0)}}, {});
  const std::string whole = read_file(path());
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    write_plain("cut", whole.substr(0, cut));
    EXPECT_THROW(SafetensorsFile file(path("cut")), IoError) << cut;
  }
}

TEST_F(SafetensorsTest, FlippedBytesNeverCrash) {
  write_safetensors(path(), std::vector<NamedTensor>{{"a", Tensor::full({2, 3}, 1.0)}, {"b", Tensor::full({1}, 2.0)}},
                    {{"k", "v"}});
  const std::string whole = read_file(path());
  const Philox random(7, "flip");
  for (uint64_t trial = 0; trial < 2000; ++trial) {
    std::string text = whole;
    text[random.below(text.size(), trial, 0, 0)] = static_cast<char>(random.bits(trial, 0, 1));
    write_plain("flip", text);
    try {
      const SafetensorsFile file(path("flip"));
      for (const auto& [name, info] : file.tensors()) EXPECT_LE(file.load(name).bytes(), whole.size());
    } catch (const IoError&) {
    }
  }
}

TEST_F(SafetensorsTest, MissingFilesAndFoldersAreErrors) {
  EXPECT_THROW(SafetensorsFile file(path("absent")), IoError);
  EXPECT_THROW(SafetensorsFile file(folder_), IoError);
  EXPECT_THROW(write_safetensors(folder_ / "none" / "x", std::vector<NamedTensor>{}, {}), IoError);
}

}  // namespace
}  // namespace tessera::nn
