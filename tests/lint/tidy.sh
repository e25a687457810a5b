#!/usr/bin/env bash
# clang-tidy over the sources that the build compiles, but for kernels and the CUDA backend, whose headers clang 14 does
# not understand; as many at a time as there are cores. $1: the build folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tidy=$(command -v clang-tidy-14 || command -v clang-tidy)
git ls-files 'engine/*.cpp' 'autograd/*.cpp' 'nn/*.cpp' 'rils/*.cpp' 'apps/*.cpp' | grep -vE '^engine/(cpu/kernels|cuda)/' |
  xargs -P "$(nproc)" -n 4 "$tidy" -p "$1" --quiet \
  2> >(grep -v 'warnings generated' >&2) # its own count of what it was told to leave out
