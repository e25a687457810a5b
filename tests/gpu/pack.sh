#!/usr/bin/env bash
# On the build machine: gathers what tests/gpu/check.sh needs on a machine that has a GPU and no compiler, as stripped
# binaries in a folder that git ignores.
#   bash tests/gpu/pack.sh [BUILD] [FOLDER]      by default build/release and .gpu
# Carry the folder to the other machine's checkout of the same commit, and run tests/gpu/check.sh there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=${1:-build/release}
to=${2:-.gpu}

programs="bin/test_device bin/test_rils_method bin/test_rils_train bin/benchmark_ops bin/benchmark_step apps/pretrain"
missing=
for program in $programs; do [ -e "$build/$program" ] || missing="$missing $program"; done
[ -z "$missing" ] || { echo "pack.sh: $build lacks$missing; build it first" >&2; exit 1; }
rm -rf "$to"
mkdir -p "$to/bin" "$to/lib"
for program in $programs; do cp "$build/$program" "$to/bin/"; done
cp "$build"/lib/libtessera_*.so "$to/lib/"
[ -e "$to/lib/libtessera_cuda.so" ] || echo "note: $build has no libtessera_cuda.so, only the emulated device can be checked"

# What they load, but for the C and C++ run time, CUDA and cuDNN, which that machine has.
{ for file in "$to"/bin/* "$to"/lib/*; do ldd "$file" 2>/dev/null || true; done; } | awk '$3 ~ /^\// {print $1, $3}' | sort -u |
  while read -r name path; do
    case $name in
      libc.so* | libm.so* | libgcc_s* | libstdc++* | ld-linux* | libpthread* | libdl* | librt*) ;;
      libcublas* | libcudnn* | libcudart* | libnccl* | libtessera*) ;;
      *) cp -L "$path" "$to/lib/$name" ;;
    esac
  done
strip --strip-unneeded "$to"/bin/* "$to"/lib/*

versions=$(for file in "$to"/bin/* "$to"/lib/*; do
  readelf -V "$file" | grep -oE 'GLIBC(XX)?_[0-9]+(\.[0-9]+)+' || true
done | sort -uV)
# shellcheck disable=SC2012  # plain names
ls -s --block-size=1K "$to"/bin "$to"/lib | awk '$1 ~ /^[0-9]+$/ && NF == 2 {printf "%8d KiB  %s\n", $1, $2}'
tree=$(git ls-files -z | xargs -0 du -ck 2>/dev/null | tail -n 1 | cut -f1)
echo "$(du -sk "$to" | cut -f1) KiB in $to, $tree KiB of tracked files; needs $(grep '^GLIBC_' <<<"$versions" | tail -n 1)," \
  "$(grep '^GLIBCXX_' <<<"$versions" | tail -n 1)"
