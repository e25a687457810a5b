#pragma once

#include <stdexcept>
#include <string>

namespace tessera {

/// Base of every error that Tessera throws. The message is one line that says what, where, expected and found.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An operand's shape, stride or extent does not fit the operation.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// An operand's element type does not fit the operation.
class DTypeError : public Error {
 public:
  using Error::Error;
};

/// A device that is absent, or operands on different devices.
class DeviceError : public Error {
 public:
  using Error::Error;
};

/// A file that cannot be read or written, or whose content is malformed.
class IoError : public Error {
 public:
  using Error::Error;
};

/// Wrong usage: an option, a configuration key or a combination of them. Programs exit with 2.
class ConfigError : public Error {
 public:
  using Error::Error;
};

/// A failing call into another library, such as FreeType.
class LibraryError : public Error {
 public:
  using Error::Error;
};

/// The memory pool's limit or the machine's memory is exhausted; the message names the largest holders.
class OutOfMemoryError : public Error {
 public:
  using Error::Error;
};

}  // namespace tessera
