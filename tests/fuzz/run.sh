#!/usr/bin/env bash
# Builds the fuzzers with clang and runs them.
#   bash tests/fuzz/run.sh [SECONDS] [NAME…]   each harness, or those named, for SECONDS each (60); prints a table
#   bash tests/fuzz/run.sh --minimise          adds what was found to tests/fuzz/corpus and keeps what covers most
# build/fuzz/found/NAME keeps inputs from run to run, build/fuzz/crashes/NAME the ones that are findings. JOBS=N runs N at a time.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. apps/setup.sh
# shellcheck disable=SC2086
tessera_install $tessera_build_packages clang-14 libclang-rt-14-dev || exit 1
longest=8192        # bytes of an input
most_files=24       # of a corpus that is checked in
largest_file=5000   # bytes of one of its files

seconds=60
minimise=no
case ${1:-} in
  --minimise) minimise=yes; shift ;;
  [0-9]*) seconds=$1; shift ;;
esac
cmake --preset fuzz >/dev/null && cmake --build --preset fuzz ${JOBS:+-j "$JOBS"} || exit 1
fuzz=$PWD/build/fuzz/bin/fuzz
mapfile -t names < <("$fuzz")
[ $# -eq 0 ] || names=("$@")
scratch=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")")
trap 'rm -rf "$scratch"' EXIT
export TMPDIR=$scratch
# Both sanitizers stop at the first error; an allocation that is refused is a finding of libFuzzer's own limit.
export ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 TESSERA_THREADS=1

# fuzz_one NAME: runs a harness and leaves its log.
fuzz_one() {
  mkdir -p "build/fuzz/found/$1" "build/fuzz/crashes/$1"
  TESSERA_HARNESS=$1 "$fuzz" -max_total_time="$seconds" -max_len=$longest -timeout=10 -rss_limit_mb=2048 \
    -malloc_limit_mb=1024 -close_fd_mask=3 -print_final_stats=1 -reload=0 -artifact_prefix="build/fuzz/crashes/$1/" \
    "build/fuzz/found/$1" "tests/fuzz/corpus/$1" >"build/fuzz/found/$1.log" 2>&1
  echo $? >"build/fuzz/found/$1.status"
}

# row NAME: inputs, inputs a second, coverage (edges and features) and the result of its last run.
row() {
  local log=build/fuzz/found/$1.log status result=clean last runs edges features
  status=$(cat "build/fuzz/found/$1.status")
  [ "$status" = 0 ] || result="FOUND: $(ls -t "build/fuzz/crashes/$1" | head -n 1)"
  runs=$(sed -nE 's/^stat::number_of_executed_units: *([0-9]+)/\1/p' "$log")
  last=$(grep -E 'cov: [0-9]+ ft: [0-9]+' "$log" | tail -n 1)
  edges=$(sed -nE 's/.*cov: ([0-9]+).*/\1/p' <<<"$last")
  features=$(sed -nE 's/.*ft: ([0-9]+).*/\1/p' <<<"$last")
  printf '%-18s %10s %8s %8s  %s\n' "$1" "${runs:--}" "${edges:--}" "${features:--}" "$result"
  [ "$status" = 0 ]
}

# shrink NAME: the inputs that together cover most, the smallest first, under short names.
shrink() {
  local kept=$scratch/kept/$1 corpus=tests/fuzz/corpus/$1 file
  mkdir -p "$kept" "build/fuzz/found/$1" "$corpus"
  TESSERA_HARNESS=$1 "$fuzz" -merge=1 -max_len=$largest_file -timeout=10 -close_fd_mask=3 "$kept" "$corpus" \
    "build/fuzz/found/$1" >"build/fuzz/found/$1.merge.log" 2>&1 || { echo "$1: the merge failed"; return 1; }
  rm -f "$corpus"/*
  while read -r file; do cp "$kept/$file" "$corpus/$(sha1sum "$kept/$file" | cut -c 1-8)"; done < <(chosen "$kept")
}

# chosen FOLDER: at most as many files as a corpus may have, evenly over all sizes; the largest is one of them.
chosen() {
  local total step
  total=$(find "$1" -type f | wc -l)
  step=$(((total + most_files - 1) / most_files))
  find "$1" -type f -printf '%s %f\n' | sort -n |
    awk -v step="$step" '{ last = $2 } NR % step == 0 { print $2; last = "" } END { if (last != "") print last }'
}

failed=0
if [ $minimise = yes ]; then
  for name in "${names[@]}"; do shrink "$name" || failed=1; done
  du -sh --apparent-size tests/fuzz/corpus
  exit $failed
fi
printf '%-18s %10s %8s %8s  %s\n' harness inputs edges features result
running=0
for name in "${names[@]}"; do
  fuzz_one "$name" &
  running=$((running + 1))
  [ "$running" -lt "${JOBS:-1}" ] || { wait -n; running=$((running - 1)); }
done
wait
for name in "${names[@]}"; do row "$name" || failed=1; done
exit $failed
