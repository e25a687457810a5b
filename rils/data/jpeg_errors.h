#pragma once

#include <cstddef>
#include <cstdio>
// jpeglib.h needs size_t and FILE declared before it.
#include <jpeglib.h>

#include <csetjmp>

namespace tessera::rils::detail {

/// libjpeg's error manager with a place to jump to.
struct JpegErrors {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

/// Stores the message of an error and jumps out of the library. For jpeg_error_mgr::error_exit.
[[noreturn]] inline void jump_out(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  errors->base.format_message(info, errors->message);
  std::longjmp(errors->jump, 1);
}

}  // namespace tessera::rils::detail
