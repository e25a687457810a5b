#pragma once

namespace tessera {

class Context;

/// A required slot of a kernel table. It has no default constructor, so a table that forgets a slot does not compile.
template <class Args>
struct Kernel {
  using Function = void (*)(Context&, const Args&);
  Function function;
  constexpr Kernel(Function f) : function(f) {}  // NOLINT(google-explicit-constructor)
  void operator()(Context& context, const Args& args) const { function(context, args); }
};

}  // namespace tessera
