#!/usr/bin/env bash
# Installs missing packages, builds, and runs every test. The last line is "N passed, N failed".
#   bash tests/run.sh          the tests of the release build, the installed example, format and clang-tidy, then all
#                              tests under AddressSanitizer with UBSan, and threaded tests under ThreadSanitizer
#   bash tests/run.sh quick    only the tests of the release build
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mode=${1:-all}
. apps/setup.sh
# shellcheck disable=SC2086
tessera_install $tessera_build_packages libgtest-dev || exit 1
command -v python3 >/dev/null || tessera_install python3 || exit 1
[ "$mode" = quick ] || tessera_install clang-format-14 clang-tidy-14 || exit 1
export LC_ALL=C.UTF-8
passed=0
failed=0
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT

# check NAME COMMAND…: runs a command and counts it as one test.
check() {
  local name=$1 start=$SECONDS
  shift
  if "$@" >"$log/out" 2>&1; then
    passed=$((passed + 1))
    echo "  ok    $name ($((SECONDS - start)) s)"
  else
    failed=$((failed + 1))
    echo "  FAIL  $name ($((SECONDS - start)) s)"
    tail -n 60 "$log/out" | sed 's/^/        /'
  fi
}

# build PRESET [TARGET…]: configures and builds; both steps count as tests.
build() {
  local preset=$1
  shift
  echo "building $preset"
  check "configure $preset" cmake --preset "$preset"
  check "build $preset" cmake --build --preset "$preset" ${1:+--target "$@"}
}

# run_binary PRESET NAME: runs a gtest binary, prints its line, and its output where a test failed. The one that starts
# programs is always the release build's, and starts those of the preset.
run_binary() {
  local out=$log/$1.$2 start=$SECONDS binary=build/$1/bin/$2 status ok bad
  if [ "$2" = test_apps ] && [ "$1" != release ]; then
    binary=build/release/bin/$2
    export TESSERA_TEST_BUILD=$PWD/build/$1
  fi
  "$binary" --gtest_brief=1 >"$out" 2>&1
  status=$?
  ok=$(sed -nE 's/^\[  PASSED  \] ([0-9]+) tests?.*/\1/p' "$out" | tail -n 1)
  bad=$(sed -nE 's/^ *([0-9]+) FAILED TESTS?.*/\1/p' "$out" | tail -n 1)
  [ $status = 0 ] || [ "${bad:-0}" -gt 0 ] || bad=1   # a crash counts as one failure
  {
    flock 9
    echo "${ok:-0} ${bad:-0}" >>"$log/counts"
    echo "  $1/$2: ${ok:-0} passed, ${bad:-0} failed ($((SECONDS - start)) s)"
    [ $status = 0 ] || tail -n 80 "$out" | sed 's/^/        /'
  } 9>"$log/lock"
}
export -f run_binary
export log

# suite PRESET [BINARY…]: runs the gtest binaries of the preset, or only those named, one on each core, the longest
# first, and counts each of their tests.
suite() {
  local preset=$1 binaries ok bad
  shift
  # shellcheck disable=SC2046
  [ $# -gt 0 ] || set -- test_apps test_device test_op_cases $(cd "build/$preset/bin" && echo test_*)
  binaries=$(printf '%s\n' "$@" | awk '!seen[$0]++')
  : >"$log/counts"
  xargs -P "$(nproc)" -I '{}' bash -c "run_binary $preset {}" <<<"$binaries"
  while read -r ok bad; do
    passed=$((passed + ok))
    failed=$((failed + bad))
  done <"$log/counts"
  [ "$(wc -l <"$log/counts")" = "$(wc -l <<<"$binaries")" ] || failed=$((failed + 1))   # one did not report
}

# The script for a machine with a GPU, at small sizes on the emulated device.
gpu_check_script() {
  bash tests/gpu/pack.sh build/release build/gpu_kit &&
    OUT=$PWD/build/gpu_check bash tests/gpu/check.sh --small build/gpu_kit
}

# kernels BUILD: registers and the like of each kernel, where nvcc has compiled them.
kernels() {
  if [ ! -e "$1/lib/libtessera_cuda.so" ]; then echo "  skipped: kernel baseline (no nvcc)"; return; fi
  check "kernel baseline" python3 tests/gpu/kernels.py --library "$1/lib/libtessera_cuda.so"
}

build release
suite release
check "gpu check script" gpu_check_script
kernels build/release
if [ "$mode" != quick ]; then
  check "installed example" bash tests/install/check.sh build/release
  check "one definition" bash tests/lint/one_definition.sh build/release
  check "clang-format" bash tests/lint/format.sh
  check "clang-tidy" bash tests/lint/tidy.sh build/release
  build asan
  # That a model learns takes a minute there, in code that every other run has been through.
  GTEST_FILTER='-Learning.*:Objectives.OneBatchCanBeLearned' suite asan
  # Pools, loader and signals; and the CUDA kernels, whose threads the emulator shows to ThreadSanitizer.
  threaded="test_device test_rils_data test_rils_run test_engine test_emulation"
  # shellcheck disable=SC2086
  build tsan $threaded
  # Left out: what counts allocations, and steps of fine-tuning, which take minutes there; its feed's other tests cross
  # threads too.
  without='*FeedOnDevice.AWarmRun*:LabelledFeedOnDevice.StepsAreThoseOfTheCpu:LabelledFeedOnDevice.ACheckpoint*'
  # shellcheck disable=SC2086
  GTEST_FILTER="-$without" suite tsan $threaded
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
