#!/usr/bin/env bash
# On a machine with a GPU: is the CUDA backend right, and how fast is it? Nothing is compiled; tests/gpu/pack.sh has made
# FOLDER elsewhere. About 200 s on an H100. Prints a table last and leaves gpu.json and all logs under $OUT.
#   bash tests/gpu/check.sh [FOLDER]             by default .gpu; the result goes to ${OUT:-/tmp/gpu_check}
#   bash tests/gpu/check.sh --small [FOLDER]     the same steps at small sizes on the emulated device: a test of this
#                                                script; or on what TESSERA_CUDA_LIBRARY names
# Exit status 0: every step passed. A step that this machine cannot take (no PyTorch) is named and does not fail.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
small="" # "1" with --small
if [ "${1:-}" = --small ]; then small=1; shift; fi
kit=$(realpath "${1:-.gpu}")
out=${OUT:-/tmp/gpu_check}
[ -x "$kit/bin/test_device" ] || { echo "check.sh: $kit has no bin/test_device; make it with tests/gpu/pack.sh" >&2; exit 1; }
rm -rf "$out"
mkdir -p "$out"
failed=0
table=
say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }
# row NAME ok|FAILED|skipped TEXT: a line of the table.
row() {
  table+=$(printf '%-34s %-8s %s' "$1" "$2" "$3")$'\n'
  [ "$2" != FAILED ] || failed=1
  say "$1: $2 $3"
}

if [ -n "$small" ]; then
  device=cuda:0 shards=2 providers="own lt" filter='*/copy_f32:*/sum_f32:*/layer_norm_bf16:*/linear_bf16:*/matmul_f32:*/adamw_f32'
  card="the emulated device"
else
  device=cuda:0 shards=5 providers="own lt" filter='*'
  card=$(nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv,noheader 2>&1 |
    head -n 1)
fi
say "$card, $(nproc) cores"

# PyTorch's wheels bring the libraries in folders of their own, a toolkit in its own.
wheels=$(python3 -c 'import importlib.util as u; print(*u.find_spec("nvidia").submodule_search_locations)' 2>/dev/null)
path=$kit/lib
for name in libcublasLt.so.13 libcudnn.so.9; do
  # shellcheck disable=SC2012  # plain names
  found=$(ls -d "${wheels:-/none}"/*/lib/$name /usr/local/cuda/lib64/$name /usr/lib/x86_64-linux-gnu/$name 2>/dev/null | head -n 1)
  if [ -n "$found" ]; then
    path=$path:$(dirname "$found")
  elif [ -z "$small" ]; then
    say "$name is not on this machine"
  fi
done
# The binaries look in the build machine's folders first, which do not exist here, and then along this path.
export LD_LIBRARY_PATH=$path${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} TESSERA_GOLDEN=$PWD/tests/golden
export TESSERA_CUDA_LIBRARY=${TESSERA_CUDA_LIBRARY:-$kit/lib/libtessera_cuda${small:+_emulated}.so} TESSERA_THREADS=${TESSERA_THREADS:-2}

if ! timeout 60 "$kit/bin/benchmark_ops" --device "$device" --small --filter norm2 >"$out/device" 2>&1; then
  echo "check.sh: $(tail -n 1 "$out/device")" >&2
  exit 1
fi
# cuDNN is a provider of products where this build has it and the library works.
if [ -z "$small" ]; then
  if TESSERA_PRODUCTS=cudnn timeout 30 "$kit/bin/benchmark_ops" --device "$device" --small --filter linear >"$out/cudnn" 2>&1; then
    providers+=" cudnn"
  else
    row "products by cudnn" skipped "$(tail -n 1 "$out/cudnn")"
  fi
fi

# counts FILES…: "passed failed" of gtest's summaries, where a binary that ended without one counts as a failure.
counts() {
  cat "$@" | awk '/^\[  PASSED  \] [0-9]+ test/ {ok += $4} /^\[  FAILED  \] .* ms\)$/ {++bad} END {print ok + 0, bad + 0}'
}
# verdict NAME FILES…: a row from the logs of gtest binaries, each with its exit status in FILE.status.
verdict() {
  local name=$1 ok bad crashed=0
  shift
  read -r ok bad < <(counts "$@")
  for log in "$@"; do
    [ "$(cat "$log.status")" = 0 ] || grep -qE '^\[  FAILED  \] .* ms\)$' "$log" || crashed=$((crashed + 1))
  done
  if [ "$bad" = 0 ] && [ "$crashed" = 0 ] && [ "$ok" -gt 0 ]; then
    row "$name" ok "$ok passed"
  else
    row "$name" FAILED "$ok passed, $bad failed, $crashed crashed or out of time"
    cat "$@" | grep -m 8 -E 'Failure|difference|what\(\)|writes|bits of' | sed 's/^/          /'
  fi
}
# timed SECONDS LOG COMMAND…: runs with a time limit; the log's neighbour keeps the exit status.
timed() {
  local limit=$1 log=$2
  shift 2
  timeout "$limit" "$@" >"$log" 2>&1
  echo $? >"$log.status"
}

# 1. Every op case on the device against the naive reference, with the products of each provider, twice for equal bits.
for products in $providers; do
  for ((shard = 0; shard < shards; shard++)); do
    GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$shard TESSERA_PRODUCTS=$products \
      timed 120 "$out/ops_$products.$shard" "$kit/bin/test_device" --gtest_brief=1 --gtest_filter="$filter" &
  done
done
wait
for products in $providers; do
  logs=()
  for ((shard = 0; shard < shards; shard++)); do logs+=("$out/ops_$products.$shard"); done
  verdict "op cases, products by $products" "${logs[@]}"
done

# 2. Golden gradients of every objective and golden training steps on the device.
export TESSERA_TEST_DEVICE=$device
gradients='Cases/Gradients*'
[ -z "$small" ] || gradients='*F32/basic:*AmpBf16WithinItsBound/basic'
timed 60 "$out/gradients" "$kit/bin/test_rils_method" --gtest_brief=1 --gtest_filter="$gradients" &
timed 60 "$out/training" "$kit/bin/test_rils_train" --gtest_brief=1 --gtest_filter='Training.*PyTorch' &
wait
verdict "golden gradients" "$out/gradients"
verdict "golden training" "$out/training"

# 3. Peaks of this card, then each op at the sizes of ViT-B/16 with its share of the floor.
timed 90 "$out/benchmark" "$kit/bin/benchmark_ops" --device "$device" ${small:+--small} --json "$out/ops.json"
if [ "$(cat "$out/benchmark.status")" = 0 ]; then
  row "ops measured" ok "$(grep -c '"case"' "$out/ops.json")"
else
  row "ops measured" FAILED "$(tail -n 1 "$out/benchmark")"
fi

# 4. Whole steps, ours and PyTorch's in turns on the same card.
if [ -n "$small" ]; then
  config=tests/golden/rils/training.toml batches=4 sizes="--caption 6 --vocabulary 50 --ranks 1 --warm 1 --rounds 2 --steps 1"
else
  config=apps/configs/rils_vitb16.toml batches="256 512"
  sizes="--caption 16 --vocabulary 49408 --ranks 1 --warm 30 --rounds 3 --steps 5"
fi
torch=
if [ -z "$small" ] && python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then torch=1; fi
for batch in $batches; do
  log=$out/step_$batch
  # shellcheck disable=SC2086
  if [ -n "$torch" ]; then
    timed 90 "$log" python3 benchmarks/step_vs_torch.py "$kit/bin/benchmark_step" $config --device "$device" \
      --precision amp_bf16 --batch "$batch" $sizes --json "$log.json"
  else
    timed 90 "$log" "$kit/bin/benchmark_step" $config --device "$device" --precision amp_bf16 --batch "$batch" $sizes
  fi
  if [ "$(cat "$log.status")" = 0 ]; then
    row "steps of $batch pairs" ok "$(tail -n 1 "$log")"
  else
    row "steps of $batch pairs" FAILED "$(tail -n 1 "$log")"
  fi
done
[ -n "$torch" ] || row "PyTorch beside it" skipped "$([ -n "$small" ] && echo 'needs a GPU' || echo 'not on this machine')"

# One JSON of everything, and the table.
python3 - "$out" "$card" "$failed" <<'PYTHON' || failed=1
import datetime, json, pathlib, sys
out, card, failed = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3] != "0"
load = lambda path: json.loads(path.read_text()) if path.exists() and path.stat().st_size else None
result = {"card": card, "date": datetime.date.today().isoformat(), "failed": failed, "ops": load(out / "ops.json"),
          "steps": [load(path) for path in sorted(out.glob("step_*.json"))]}
(out / "gpu.json").write_text(json.dumps(result, indent=1) + "\n")
ops = result["ops"]
if ops:
    for row in ops["ops"]:
        row["share"] = row["floor_ms"] / row["ms"] if row["ms"] else 0
    print("\nslowest beside their floor (ms lost, share of the floor):")
    for row in sorted(ops["ops"], key=lambda r: r["floor_ms"] - r["ms"])[:12]:
        print(f"  {row['ms'] - row['floor_ms']:8.3f} ms {100 * row['share']:4.0f} %  {row['case']} {row['problem']} {row['dtype']}")
PYTHON
echo
sed -nE '1,4p' "$out/benchmark"
echo
printf '%s' "$table"
echo "$SECONDS s; $([ "$failed" = 0 ] && echo 'all passed' || echo FAILED); logs and gpu.json in $out"
exit "$failed"
