#pragma once

#include <zlib.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace tessera::test {

/// A text as gzip writes it.
[[nodiscard]] inline std::string gzipped(std::string_view text) {
  z_stream z{};
  if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) != Z_OK) return {};
  std::string packed(deflateBound(&z, static_cast<uLong>(text.size())), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(packed.data());
  z.avail_out = static_cast<uInt>(packed.size());
  (void)deflate(&z, Z_FINISH);
  packed.resize(z.total_out);
  deflateEnd(&z);
  return packed;
}

/// Changes the type in the header that begins at `header` of an archive.
inline void change_type(std::string& bytes, size_t header, char type) {
  bytes[header + 156] = type;
  for (size_t i = 0; i < 8; ++i) bytes[header + 148 + i] = ' ';
  uint32_t sum = 0;
  for (size_t i = 0; i < 512; ++i) sum += static_cast<uint8_t>(bytes[header + i]);
  for (size_t i = 6; i-- > 0; sum >>= 3) bytes[header + 148 + i] = static_cast<char>('0' + (sum & 7));
}

}  // namespace tessera::test
