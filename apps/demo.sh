#!/usr/bin/env bash
# From nothing to a trained, compared and evaluated RILS: installs, builds, makes the default data, pre-trains RILS and CLIP
# on equal terms, evaluates both beside the untrained network, raw pixels and chance, probes and fine-tunes, and draws what
# the model sees. About twenty minutes on two cores after the build. What is there already is used again; a run that was
# stopped goes on where it was.
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
plan, on two cores:
  build                    about 4 minutes
  data                     about 1 minute ($data)
  pre-training, RILS       about 7 minutes ($epochs epochs, $run)
  pre-training, CLIP       about 5 minutes (the same, $clip)
  evaluation               about 1.5 minutes ($run/results, $clip/results)
  probes                   about 1 minute (linear, 10 images a class)
  fine-tuning              about 2 minutes (from RILS, from scratch)
  sheet, report, table     less than half a minute ($run/report.html)
TEXT

say "build"
# shellcheck disable=SC2086
tessera_install $tessera_build_packages librsvg2-bin
[ -d build/release ] || cmake --preset release -DTESSERA_TESTS=OFF -DTESSERA_BENCHMARKS=OFF >/dev/null
cmake --build --preset release --target app_prepare app_pretrain app_finetune app_evaluate app_inspect app_query >/dev/null

say "data"
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
say "pre-training, RILS"
pretrain "$name" rils
say "pre-training, CLIP, for comparison"
pretrain "$name-clip" clip

latest() { echo "$1/checkpoints/$(cat "$1/checkpoints/latest")"; }
mkdir -p "$run/results" "$clip/results"
# evaluate TASK FEATURES RUN OPTIONS…: what is newer than the run's last checkpoint is kept.
evaluate() {
  local task=$1 features=$2 from=$3 out=$3/results/$1-$2.json
  shift 3
  if [ "$out" -nt "$from/checkpoints/latest" ]; then return; fi
  echo "-- ${from#logs/}, $features"
  $bin/evaluate "$task" --checkpoint "$(latest "$from")" --features "$features" --output "$out" "$@"
}
# evaluate_all TASK OPTIONS…: RILS, CLIP, and a network with its initial values.
evaluate_all() {
  local task=$1
  shift
  evaluate "$task" model "$run" "$@"
  evaluate "$task" model "$clip" "$@"
  evaluate "$task" untrained "$run" "$@"
}
say "retrieval over unseen scenes (their captions are made by a grammar)"
evaluate_all retrieval --data "$data/scenes/test" --dataset scenes
say "zero-shot over pictures of things that no training scene shows"
evaluate_all zero-shot --data "$data/objects/test" --dataset objects
say "pointing: how much of a noun's map lies in its box, on unseen scenes"
evaluate_all pointing --data "$data/scenes/test" --dataset scenes
say "nearest neighbours on Fashion-MNIST: 10,000 of its 60,000 training images, all 10,000 test images"
neighbours=(--train-data "$clothes" --train-samples 10000 --data "$clothes" --dataset fashion-mnist)
evaluate_all knn "${neighbours[@]}"
evaluate knn pixels "$run" "${neighbours[@]}"

# classify NAME CHECKPOINT OPTIONS…: a probe or a classifier on Fashion-MNIST; CHECKPOINT "": from initial values. A probe
# that was stopped begins again, fine-tuning goes on.
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
say "linear probe on a tenth of Fashion-MNIST's training images, and with 10 images a class"
classify linear "$(latest "$run")" --linear --train-fraction 0.1
classify clip-linear "$(latest "$clip")" --linear --train-fraction 0.1
classify shots "$(latest "$run")" --shots 10
classify clip-shots "$(latest "$clip")" --shots 10
say "fine-tuning end to end on a tenth of Fashion-MNIST's training images, from RILS and from scratch"
# A recipe for minutes: MAE's mixing of images needs hundreds of epochs to pay. Rate and weight decay are said, since the
# configuration that gives the network from scratch its size has others. Layer decay is for layers that know something.
recipe=(--train-fraction 0.1 --epochs 5 --warmup-epochs 1 --val-frequency 5 --batch-size 64 --lr 1e-3 --weight-decay 0.05
  --drop-path 0 --mixup 0 --cutmix 0 --reprob 0 --aa none)
classify finetune "$(latest "$run")" "${recipe[@]}" --layer-decay 0.75
classify scratch "" "${recipe[@]}" --layer-decay 1

say "pictures"
beside=(--compare "$clip")
$bin/inspect sheet "$run" "${beside[@]}"
$bin/inspect retrievals --checkpoint "$(latest "$run")" --data "$data/scenes/test" --out "$run/pictures/retrievals.svg"
$bin/inspect report "$run" "${beside[@]}" --classifiers "${classifiers[@]}"

say "results"
$bin/inspect results "$run" "${beside[@]}" --classifiers "${classifiers[@]}"

cat <<TEXT

look at $run/report.html first: it begins with one sheet ($run/pictures/sheet.svg). Classifiers are in logs/$name-*.
For pictures of your own:
  $bin/prepare captions --table captions.tsv --hold-out 1000 --out data/mine
  $bin/prepare vocabulary --captions data/mine/train --out data/mine/vocabulary.txt
  $bin/pretrain --config apps/configs/rils_small.toml --train-data data/mine/train --val-data data/mine/val \\
    --vocabulary data/mine/vocabulary.txt --name mine
TEXT
