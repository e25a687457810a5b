#!/usr/bin/env bash
# The whole path from an empty machine to a trained and evaluated RILS. Installs packages, builds, makes the default data,
# pre-trains RILS and CLIP with the same settings, evaluates both and compares them with the untrained network, raw pixels
# and chance, trains linear probes, fine-tunes, and draws pictures. It takes about twenty minutes on two cores after the
# build. Finished steps are not repeated, and a stopped run is resumed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. apps/setup.sh
data=${TESSERA_DATA:-data/default}
name=${TESSERA_RUN:-demo}
epochs=${TESSERA_EPOCHS:-6}
bin=build/release/apps
run=logs/$name
clip=logs/$name-clip
clothes=$data/fashion-mnist

say() { printf '\n== %s\n' "$*"; }

cat <<TEXT
This demo has the following steps. The times are for two cores.
  build                    about 4 minutes
  default data             about 1 minute      writes $data
  pre-training of RILS     about 7 minutes     $epochs epochs, writes $run
  pre-training of CLIP     about 5 minutes     $epochs epochs, writes $clip
  evaluation               about 1.5 minutes   writes $run/results and $clip/results
  linear probes            about 1 minute      with 10 % of the train images, and with 10 images a class
  fine-tuning              about 2 minutes     from RILS and from scratch
  report and table         about 0.5 minutes   writes $run/report.html
TEXT

say "build"
# shellcheck disable=SC2086
tessera_install $tessera_build_packages librsvg2-bin
[ -d build/release ] || cmake --preset release -DTESSERA_TESTS=OFF -DTESSERA_BENCHMARKS=OFF >/dev/null
cmake --build --preset release --target app_prepare app_pretrain app_finetune app_evaluate app_inspect app_query >/dev/null

say "default data"
if [ ! -f "$data/prepared.json" ]; then
  bash apps/prepare/fetch_assets.sh data/assets
  $bin/prepare default --assets data/assets --out "$data"
fi
[ -f "$data/vocabulary.txt" ] ||
  $bin/prepare vocabulary --captions "$data/scenes/train" --size 2048 --out "$data/vocabulary.txt"

# pretrain NAME OBJECTIVE
pretrain() {
  local resume=()
  if [ -f "logs/$1/config.toml" ]; then resume=(--resume latest); fi
  $bin/pretrain --config apps/configs/rils_small.toml --objective "$2" --name "$1" --train-data "$data/scenes/train" \
    --val-data "$data/scenes/test" --vocabulary "$data/vocabulary.txt" --epochs "$epochs" "${resume[@]}"
}
say "pre-training of RILS"
pretrain "$name" rils
say "pre-training of CLIP, for comparison"
pretrain "$name-clip" clip

declare -A tasks=([retrieval]=zeroshot_retrieval [zero-shot]=zeroshot_classification [pointing]=pointing [knn]=knn)
# evaluate TASK FEATURES RUN DATASET OPTIONS…: does nothing if the result is newer than the run's last checkpoint.
evaluate() {
  local task=$1 features=$2 from=$3 dataset=$4 setting=
  if [ "$features" != model ]; then setting=-$features; fi
  shift 4
  if [ "$from/results/${tasks[$task]}-${dataset//\//_}$setting.json" -nt "$from/checkpoints/latest" ]; then return; fi
  echo "-- ${from#logs/}, $features"
  $bin/evaluate "$task" --checkpoint "$from" --features "$features" --dataset "$dataset" "$@"
}
# evaluate_all TASK DATASET OPTIONS…: evaluates RILS, CLIP and the untrained network.
evaluate_all() {
  local task=$1
  shift
  evaluate "$task" model "$run" "$@"
  evaluate "$task" model "$clip" "$@"
  evaluate "$task" untrained "$run" "$@"
}
say "retrieval on the test scenes (a grammar makes the captions)"
evaluate_all retrieval scenes/test --data "$data/scenes/test"
say "zero-shot classification of pictures that are not in the train scenes"
evaluate_all zero-shot objects --data "$data/objects/test"
say "pointing games on the test scenes: does the heat map of a noun lie in its box?"
evaluate_all pointing scenes/test --data "$data/scenes/test"
say "k-nearest neighbours on Fashion-MNIST: 10,000 of the 60,000 train images, all 10,000 test images"
neighbours=(fashion-mnist --train-data "$clothes" --train-samples 10000 --data "$clothes")
evaluate_all knn "${neighbours[@]}"
evaluate knn pixels "$run" "${neighbours[@]}"

# classify NAME CHECKPOINT OPTIONS…: trains a probe or a classifier on Fashion-MNIST; with CHECKPOINT "" from scratch. A
# stopped probe is started again, stopped fine-tuning is resumed.
classifiers=()
classify() {
  local run_name=$name-$1 from=(--config apps/configs/rils_small.toml) resume=()
  if [ -n "$2" ]; then from=(--finetune "$2"); fi
  shift 2
  classifiers+=("logs/$run_name")
  if grep -qs '^finished' "logs/$run_name/out.log"; then return; fi
  if [ -f "logs/$run_name/config.toml" ]; then
    case " $* " in
      *" --linear "* | *" --shots "*) rm -r "logs/$run_name" ;;
      *) resume=(--resume latest) ;;
    esac
  fi
  echo "-- $run_name"
  $bin/finetune "${from[@]}" --data-path "$clothes" --name "$run_name" "$@" "${resume[@]}"
}
say "linear probes on Fashion-MNIST: 10 % of the train images, and 10 images a class"
classify linear "$run" --linear --train-fraction 0.1
classify clip-linear "$clip" --linear --train-fraction 0.1
classify shots "$run" --shots 10
classify clip-shots "$clip" --shots 10
say "fine-tuning on Fashion-MNIST: 10 % of the train images, from RILS and from scratch"
# A short recipe: MAE's mixup and cutmix help only after hundreds of epochs. The learning rate and the weight decay are
# given because the configuration of the run from scratch has others. Layer decay is useful only for pre-trained layers.
recipe=(--train-fraction 0.1 --epochs 5 --warmup-epochs 1 --val-frequency 5 --batch-size 64 --lr 1e-3 --weight-decay 0.05
  --drop-path 0 --mixup 0 --cutmix 0 --reprob 0 --aa none)
classify finetune "$run" "${recipe[@]}" --layer-decay 0.75
classify scratch "" "${recipe[@]}" --layer-decay 1

say "pictures"
beside=(--compare "$clip")
$bin/inspect sheet "$run" "${beside[@]}"
$bin/inspect retrievals --checkpoint "$run" --data "$data/scenes/test" --out "$run/pictures/retrievals.svg"
$bin/inspect report "$run" "${beside[@]}" --classifiers "${classifiers[@]}"

say "table of results"
$bin/inspect results "$run" "${beside[@]}" --classifiers "${classifiers[@]}"

cat <<TEXT

Open $run/report.html first. It begins with a one-page summary, which is also in $run/pictures/sheet.svg.
The probes and the fine-tuned classifiers are in logs/$name-*.
To train on your own images and captions:
  $bin/prepare captions --table captions.tsv --hold-out 1000 --out data/mine
  $bin/prepare vocabulary --captions data/mine/train --out data/mine/vocabulary.txt
  $bin/pretrain --config apps/configs/rils_small.toml --train-data data/mine/train --val-data data/mine/val \\
    --vocabulary data/mine/vocabulary.txt --name mine
TEXT
