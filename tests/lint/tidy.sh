#!/usr/bin/env bash
# clang-tidy over every source that the build compiles, as many at a time as there are cores. $1: the build folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tidy=$(command -v clang-tidy-14 || command -v clang-tidy)
git ls-files 'engine/*.cpp' 'autograd/*.cpp' 'nn/*.cpp' 'rils/*.cpp' 'apps/*.cpp' | grep -v '^engine/cpu/kernels/' |
  xargs -P "$(nproc)" -n 4 "$tidy" -p "$1" --quiet --extra-arg=-Wno-unknown-warning-option \
  2> >(grep -v 'warnings generated' >&2) # its own count of what it was told to leave out
