#!/usr/bin/env bash
# From nothing to a trained and evaluated RILS: installs, builds, makes the default data, pre-trains for about ten minutes
# on two cores, evaluates beside the untrained network and raw pixels. What is there already is used again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. apps/setup.sh
data=${TESSERA_DATA:-data/default}
name=${TESSERA_RUN:-demo}
epochs=${TESSERA_EPOCHS:-4}
bin=build/release/apps

echo "plan: build (about 8 minutes), data (about 5), training (about 10), evaluation (about 2)"
# shellcheck disable=SC2086
tessera_install $tessera_build_packages librsvg2-bin
[ -d build/release ] || cmake --preset release -DTESSERA_TESTS=OFF -DTESSERA_BENCHMARKS=OFF >/dev/null
cmake --build --preset release --target app_prepare app_pretrain app_evaluate app_inspect >/dev/null

if [ ! -d "$data/scenes" ]; then
  bash apps/prepare/fetch_assets.sh data/assets
  $bin/prepare default --assets data/assets --out "$data"
fi
[ -f "$data/vocabulary.txt" ] || $bin/prepare vocabulary --captions "$data/scenes/train" --size 2048 --out "$data/vocabulary.txt"

if [ ! -d "logs/$name" ]; then resume=(); else resume=(--resume latest); fi
$bin/pretrain --config apps/configs/rils_small.toml --name "$name" --train-data "$data/scenes/train" \
  --val-data "$data/scenes/test" --vocabulary "$data/vocabulary.txt" --epochs "$epochs" \
  "${resume[@]}"

checkpoint=logs/$name/checkpoints/$(cat "logs/$name/checkpoints/latest")
results=logs/$name/results
mkdir -p "$results"
echo "retrieval over the test scenes (captions are made by a grammar):"
$bin/evaluate retrieval --checkpoint "$checkpoint" --data "$data/scenes/test" --output "$results/retrieval.json"
echo "zero-shot over things that no training scene shows:"
$bin/evaluate zero-shot --checkpoint "$checkpoint" --data "$data/objects/test" --output "$results/zero-shot.json"
echo "nearest neighbours on Fashion-MNIST:"
for features in model untrained pixels; do
  $bin/evaluate knn --checkpoint "$checkpoint" --train-data "$data/fashion-mnist" --data "$data/fashion-mnist" \
    --features "$features" --output "$results/knn-$features.json"
done
cat <<TEXT
everything is in logs/$name. For pictures of your own:
  $bin/prepare captions --table captions.tsv --hold-out 1000 --out data/mine
  $bin/prepare vocabulary --captions data/mine/train --out data/mine/vocabulary.txt
  $bin/pretrain --config apps/configs/rils_small.toml --train-data data/mine/train --vocabulary data/mine/vocabulary.txt --name mine
TEXT
