// JPEG, read and written by libjpeg, whose errors leave it by longjmp.
#include <fmt/format.h>

#include <cstddef>
#include <cstdio>
// jpeglib.h needs size_t and FILE declared before it, jerror.h what jpeglib.h declares.
#include <jpeglib.h>
//
#include <jerror.h>

#include <csetjmp>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "rils/data/decode.h"
#include "rils/data/encode.h"
#include "rils/data/pixel_mode.h"

namespace tessera::rils {
namespace {

/// libjpeg's error manager with a place to jump to.
struct JpegErrors {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

/// Stores the message of an error and jumps out of the library. For jpeg_error_mgr::error_exit.
[[noreturn]] void jump_out(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  errors->base.format_message(info, errors->message);
  std::longjmp(errors->jump, 1);
}

constexpr int kMaxScans = 200;  // a progressive file may ask for thousands of passes over the whole image

/// After damaged data the library only warns and fills in grey. Such an image is refused; harmless warnings are
/// ignored.
void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_JPEG_EOF:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_BOGUS_PROGRESSION:
      jump_out(info);
    default:
      break;
  }
}

void on_progress(j_common_ptr info) {
  auto* decompress = reinterpret_cast<j_decompress_ptr>(info);
  if (decompress->input_scan_number > kMaxScans) {
    decompress->err->msg_code = JERR_BAD_PROGRESSION;
    jump_out(info);
  }
}

/// Owns everything that must survive a longjmp. The frames that the jump skips hold only trivial objects.
struct JpegReader {
  jpeg_decompress_struct info{};
  JpegErrors errors{};
  jpeg_progress_mgr progress{};

  JpegReader() {
    info.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = jump_out;
    errors.base.emit_message = on_message;
    errors.base.output_message = [](j_common_ptr) {};
    progress.progress_monitor = on_progress;
  }
  ~JpegReader() { jpeg_destroy_decompress(&info); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  /// False when the library failed; errors.message gives the reason.
  bool read_header(std::span<const std::byte> bytes) {
    if (setjmp(errors.jump) != 0) return false;
    jpeg_create_decompress(&info);
    info.progress = &progress;
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<unsigned long>(bytes.size()));
    jpeg_read_header(&info, TRUE);
    return true;
  }

  /// Decodes into rows of `stride` bytes. The settings are libjpeg's defaults; they are set explicitly because equality
  /// with Pillow depends on them.
  bool read_pixels(uint8_t* pixels, size_t stride, bool cmyk) {
    if (setjmp(errors.jump) != 0) return false;
    info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    info.dct_method = JDCT_ISLOW;
    info.do_fancy_upsampling = TRUE;
    jpeg_start_decompress(&info);
    while (info.output_scanline < info.output_height) {
      JSAMPROW row = pixels + stride * info.output_scanline;
      jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    return true;
  }
};

struct JpegWriter {
  jpeg_compress_struct info{};
  JpegErrors errors{};
  unsigned char* buffer = nullptr;
  unsigned long size = 0;

  JpegWriter() {
    info.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = jump_out;
  }
  ~JpegWriter() {
    jpeg_destroy_compress(&info);
    std::free(buffer);
  }
  JpegWriter(const JpegWriter&) = delete;
  JpegWriter& operator=(const JpegWriter&) = delete;

  bool write(const Image& image, int quality) {
    if (setjmp(errors.jump) != 0) return false;
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &buffer, &size);
    info.image_width = static_cast<JDIMENSION>(image.width);
    info.image_height = static_cast<JDIMENSION>(image.height);
    info.input_components = image.channels;
    info.in_color_space = image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, quality, TRUE);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
      auto* row = const_cast<JSAMPROW>(image.row(static_cast<int>(info.next_scanline)));
      jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    return true;
  }
};

}  // namespace

Image detail::decode_jpeg(std::span<const std::byte> bytes, int64_t max_pixels, bool keep_mode) {
  JpegReader reader;
  const auto fail = [&] { throw SampleError(skip::kBrokenImage, std::string("JPEG: ") + reader.errors.message); };
  if (!reader.read_header(bytes)) fail();
  check_extent(reader.info.image_width, reader.info.image_height, max_pixels);
  const bool cmyk = reader.info.num_components == 4;
  Image image(static_cast<int>(reader.info.image_width), static_cast<int>(reader.info.image_height), cmyk ? 4 : 3);
  if (!reader.read_pixels(image.pixels.data(), image.row_bytes(), cmyk)) fail();
  if (!cmyk) return image;
  // Adobe's programs write CMYK inverted, and so does everybody.
  for (uint8_t& value : image.pixels) value = static_cast<uint8_t>(255 - value);
  image.mode = PixelMode::cmyk;
  return keep_mode ? image : rgb_of_cmyk(image);
}

std::vector<std::byte> encode_jpeg(const Image& image, int quality) {
  detail::check_encodable(image, "encode_jpeg", false);
  JpegWriter writer;
  if (!writer.write(image, quality)) throw IoError(fmt::format("encode_jpeg: {}", writer.errors.message));
  const auto* bytes = reinterpret_cast<const std::byte*>(writer.buffer);
  return {bytes, bytes + writer.size};
}

}  // namespace tessera::rils
