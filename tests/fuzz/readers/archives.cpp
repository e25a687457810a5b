// Tar, gzip and ZIP, and the samples that shards hold.
#include <algorithm>
#include <array>
#include <set>

#include "engine/core/atomic_file.h"
#include "rils/data/gzip_source.h"
#include "rils/data/tar.h"
#include "rils/data/webdataset.h"
#include "rils/prepare/zip.h"
#include "rils/text/ascii.h"
#include "rils/text/encoding.h"
#include "tests/fuzz/harness.h"
#include "tests/rils/data/archives.h"

namespace tessera::fuzz {
namespace {

using namespace rils;

constexpr size_t kBlock = 512;

/// An archive with the check sums that its headers should have; otherwise hardly a damaged header would be read.
std::string with_check_sums(std::string_view input) {
  std::string text(input);
  for (size_t at = 0; at + kBlock <= text.size(); at += kBlock) {
    if (std::string_view(text).substr(at + 257, 5) == "ustar") test::change_type(text, at, text[at + 156]);
  }
  return text;
}

struct Member {
  std::string name, data;
  bool link;
  bool operator==(const Member&) const = default;
};

std::vector<Member> members_of(std::string_view archive) {
  const MemorySource source(bytes_of(archive));
  TarReader reader(source);
  std::vector<Member> members;
  uint64_t end = 0;
  while (const auto member = reader.next()) {
    expect(member->offset >= end && member->offset % kBlock == 0, "members in the order of the archive");
    expect(member->offset <= archive.size() && member->size <= archive.size() - member->offset, "data in the archive");
    end = member->offset + member->size;
    members.push_back({member->name, std::string(archive.substr(member->offset, member->size)), member->link});
  }
  expect(reader.trailing_bytes() <= archive.size(), "trailing bytes in the archive");
  return members;
}

void read_archive(std::string_view archive) {
  std::vector<Member> members;
  if (!accepts<IoError>([&] { members = members_of(archive); })) return;
  std::erase_if(members, [](const Member& m) { return m.link || m.name.find('\0') != std::string::npos; });
  const auto path = file("written.tar", "");
  TarWriter writer(path);
  for (const Member& m : members) writer.add(m.name, m.data);
  writer.commit();
  expect(members_of(read_file(path)) == members, "members that are read as they were written");
}

TESSERA_FUZZ(tar) {
  read_archive(input);
  read_archive(with_check_sums(input));
}

/// The key of a member that is an image, or "". See WebDataset.
std::string image_key(std::string_view name) {
  if (name.starts_with("./")) name.remove_prefix(2);
  const size_t base = name.rfind('/') + 1, dot = name.find('.', base);
  if (dot == std::string_view::npos || dot == base || (name.starts_with("__") && name.ends_with("__"))) return "";
  constexpr std::array<std::string_view, 4> kImages = {"jpg", "jpeg", "png", "webp"};
  const bool image = std::ranges::find(kImages, lower_ascii(name.substr(dot + 1))) != kImages.end();
  return image ? std::string(name.substr(0, dot)) : "";
}

/// The names of the samples with an image, as far as the archive can be read.
size_t images_in(std::string_view archive) {
  const MemorySource source(bytes_of(archive));
  TarReader reader(source);
  std::set<std::string> keys;
  (void)accepts<IoError>([&] {
    while (const auto member = reader.next())
      if (!member->link) keys.insert(image_key(member->name));
  });
  keys.erase("");
  return keys.size();
}

void read_shard(const std::filesystem::path& path, const DatasetOptions& options, size_t images) {
  const WebDataset shards({path}, options);
  const Dataset& data = shards;
  for (int64_t i = 0; i < data.size(); ++i) {
    Sample sample;
    if (!accepts<SampleError>([&] { sample = data.load(i); })) continue;
    expect(std::ranges::all_of(sample.captions, [](const auto& c) { return is_utf8(c) && trim(c) == c && !c.empty(); }),
           "captions in UTF-8 that are not blank");
    expect(!options.need_label || sample.label >= 0, "a label where one is needed");
    expect(sample.encoded.size() <= static_cast<size_t>(data.bytes(i)), "at most the bytes of the sample");
  }
  expect(data.total() >= static_cast<int64_t>(images), "every image in a sample or counted as skipped");
}

TESSERA_FUZZ(webdataset) {
  const unsigned choice = take_choice(input);
  DatasetOptions options;
  options.need_caption = (choice & 1) == 0;
  options.need_label = (choice & 2) != 0;
  options.need_metadata = true;
  options.caption_per_line = (choice & 4) != 0;
  if ((choice & 8) != 0) options.text_encoding = TextEncoding::windows_1252;
  const std::string shard = with_check_sums(input);
  const size_t images = images_in(shard);
  read_shard(file("00000.tar", (choice & 16) != 0 ? test::gzipped(shard) : shard), options, images);
}

TESSERA_FUZZ(gzip) {
  const bool packed = is_gzip(MemorySource(bytes_of(input)));
  const std::string made = packed ? std::string(input) : test::gzipped(input);
  const MemorySource bytes(bytes_of(made));
  const GzipIndex index(bytes);
  const GzipSource content(bytes, index);
  expect(content.size() <= 1024 + 201 * made.size(), "a bounded content");
  const auto whole = content.read(0, content.size());
  expect(packed || (test::gzipped("") != "" && whole == std::vector(bytes_of(input).begin(), bytes_of(input).end())),
         "the content that was packed");
  for (size_t part = 1; part < 8; part += 2) {
    const size_t at = content.size() * part / 8, size = std::min<size_t>(content.size() - at, 100);
    expect(std::ranges::equal(content.read(at, size), std::span(whole).subspan(at, size)),
           "the same bytes at any place");
  }
}

TESSERA_FUZZ(zip) { (void)read_zip_member(input, "merges.txt", "package.whl"); }

}  // namespace
}  // namespace tessera::fuzz
