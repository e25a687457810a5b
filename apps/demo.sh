#!/usr/bin/env bash
# From nothing to a trained and evaluated RILS: installs, builds, makes the default data, pre-trains for about ten minutes
# on two cores, evaluates beside the untrained network, raw pixels and chance, and draws what it sees. What is there
# already is used again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. apps/setup.sh
data=${TESSERA_DATA:-data/default}
name=${TESSERA_RUN:-demo}
epochs=${TESSERA_EPOCHS:-6}
bin=build/release/apps
run=logs/$name

say() { printf '\n== %s\n' "$*"; }

cat <<TEXT
plan, on two cores:
  build              about 6 minutes
  data               about 3 minutes ($data)
  pre-training       about 10 minutes ($epochs epochs, $run)
  evaluation         about 5 minutes ($run/results)
TEXT

say "build"
# shellcheck disable=SC2086
tessera_install $tessera_build_packages librsvg2-bin
[ -d build/release ] || cmake --preset release -DTESSERA_TESTS=OFF -DTESSERA_BENCHMARKS=OFF >/dev/null
cmake --build --preset release --target app_prepare app_pretrain app_evaluate app_inspect app_query >/dev/null

say "data"
if [ ! -f "$data/prepared.json" ]; then
  bash apps/prepare/fetch_assets.sh data/assets
  $bin/prepare default --assets data/assets --out "$data"
fi
[ -f "$data/vocabulary.txt" ] ||
  $bin/prepare vocabulary --captions "$data/scenes/train" --size 2048 --out "$data/vocabulary.txt"

say "pre-training"
if [ -d "$run" ]; then resume=(--resume latest); else resume=(); fi
$bin/pretrain --config apps/configs/rils_small.toml --name "$name" --train-data "$data/scenes/train" \
  --val-data "$data/scenes/test" --vocabulary "$data/vocabulary.txt" --epochs "$epochs" "${resume[@]}"

checkpoint=$run/checkpoints/$(cat "$run/checkpoints/latest")
mkdir -p "$run/results" "$run/pictures"
# evaluate_all TASK FEATURES… -- OPTIONS…
evaluate_all() {
  local task=$1 features=()
  shift
  while [ "$1" != -- ]; do features+=("$1"); shift; done
  shift
  for f in "${features[@]}"; do
    $bin/evaluate "$task" --checkpoint "$checkpoint" --features "$f" --output "$run/results/$task-$f.json" "$@"
  done
}
say "retrieval over unseen scenes (their captions are made by a grammar)"
evaluate_all retrieval model untrained -- --data "$data/scenes/test"
say "zero-shot over pictures of things that no training scene shows"
evaluate_all zero-shot model untrained -- --data "$data/objects/test"
say "nearest neighbours on Fashion-MNIST"
evaluate_all knn model untrained pixels -- --train-data "$data/fashion-mnist" --data "$data/fashion-mnist"
say "pointing: how much of a noun's map lies in its box, on unseen scenes"
evaluate_all pointing model untrained -- --data "$data/scenes/test"

say "pictures"
$bin/inspect retrievals --checkpoint "$checkpoint" --data "$data/scenes/test" --out "$run/pictures/retrievals.svg"
$bin/inspect report "$run"

cat <<TEXT

everything is in $run; look at $run/report.html first. For pictures of your own:
  $bin/prepare captions --table captions.tsv --hold-out 1000 --out data/mine
  $bin/prepare vocabulary --captions data/mine/train --out data/mine/vocabulary.txt
  $bin/pretrain --config apps/configs/rils_small.toml --train-data data/mine/train --val-data data/mine/val \\
    --vocabulary data/mine/vocabulary.txt --name mine
TEXT
