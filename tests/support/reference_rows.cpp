#include "tests/support/reference.h"

namespace tessera::test::reference {
namespace {

void gather(Context&, const GatherRowsArgs& a) {
  const Array x(a.x);
  const Array index(a.index);
  const Array fill(a.fill);
  const Array table(a.table);
  const Array table_index(a.table_index);
  Array y(shape_of(a.y));
  for (int64_t r = 0; r < y.size(0); ++r) {
    const auto source = index ? static_cast<int64_t>(index(r)) : r;
    for (int64_t j = 0; j < y.size(1); ++j) {
      y(r, j) = source >= 0 ? x(source, j) : fill(0, j);
      if (table) y(r, j) += table(static_cast<int64_t>(table_index(r)), j);
    }
  }
  write(y, a.y);
}

void scatter_add(Context&, const ScatterAddRowsArgs& a) {
  const Array dy(a.dy);
  const Array index(a.index);
  Array dx(shape_of(a.dx));
  for (int64_t r = 0; r < dy.size(0); ++r) {
    const auto to = static_cast<int64_t>(index(r));
    for (int64_t j = 0; j < dy.size(1) && to >= 0; ++j) dx(to, j) += dy(r, j);
  }
  write(dx, a.dx, a.mode);
}

void patchify(Context&, const PatchifyArgs& a) {
  const Array images(a.images);
  const int64_t p = a.patch;
  const int64_t channels = images.size(1);
  const int64_t height = images.size(2) / p;
  const int64_t width = images.size(3) / p;
  Array patches({images.size(0), height, width, channels, p, p});
  for (int64_t b = 0; b < images.size(0); ++b) {
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t y = 0; y < images.size(2); ++y) {
        for (int64_t x = 0; x < images.size(3); ++x) {
          patches(b, y / p, x / p, c, y % p, x % p) = images(b, c, y, x);
        }
      }
    }
  }
  write(patches, a.patches);
}

}  // namespace

const RowKernels kRows{.gather = gather, .scatter_add = scatter_add};
const PatchKernels kPatches{.patchify = patchify};

}  // namespace tessera::test::reference
