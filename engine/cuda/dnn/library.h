#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/dtype.h"

namespace tessera::cuda::dnn {

/// Why cuDNN cannot be used on this machine, in one line; empty where it can. The library is loaded on the first call,
/// so that the backend also works where it is not installed.
[[nodiscard]] std::string unavailable();

/// An object of cuDNN's graph interface. Types, attributes and values are the library's enumerators, which this header
/// does not include. Every call throws LibraryError in one line.
class Descriptor {
 public:
  explicit Descriptor(int type);
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)), type_(other.type_) {}

  void set(int attribute, int type, int64_t count, const void* values);
  void set_number(int attribute, int64_t value);
  void set_numbers(int attribute, std::span<const int64_t> values);
  void set_flag(int attribute, bool value);
  /// A value of one of the library's enumerations.
  void set_choice(int attribute, int type, int value);
  void set_type(int attribute, DType dtype);
  void set_descriptor(int attribute, const Descriptor& value);
  void finalize();
  /// False where the library has nothing that supports it.
  [[nodiscard]] bool try_finalize();

  [[nodiscard]] int64_t number(int attribute) const;
  [[nodiscard]] int choice(int attribute, int type) const;
  [[nodiscard]] std::vector<int> choices(int attribute, int type, int64_t most) const;
  /// The first descriptors of this type that an attribute holds, at most so many.
  [[nodiscard]] std::vector<Descriptor> descriptors(int attribute, int type, int64_t most) const;
  [[nodiscard]] void* raw() const { return raw_; }

 private:
  int64_t get(int attribute, int type, int64_t count, void* values) const;

  void* raw_ = nullptr;
  int type_;
};

/// A session of the library on the device that is current when it is made.
class Handle {
 public:
  Handle();
  ~Handle();
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  /// Describes the device to the search for plans.
  [[nodiscard]] Descriptor device() const;
  /// Queues a finalised plan with finalised pointers on a stream.
  void execute(const Descriptor& plan, const Descriptor& pointers, void* stream);

 private:
  void* raw_ = nullptr;
};

/// A device that is not there, from the library's own description of it.
[[nodiscard]] Descriptor described_device(const std::string& json);

}  // namespace tessera::cuda::dnn
