"""Compares RILS, CLIP, MAE and MAE + CLIP: the same towers, seed, data, schedule and number of samples, then every
evaluation of the programs. Prints a table (Markdown) and draws a chart (SVG). Finished steps are not repeated, and a
stopped run is resumed.

    python3 benchmarks/compare_objectives.py STUDY --data DIR --out DIR [--seeds 0 1] [--jobs 2] [--batches 64 128 …]
    python3 benchmarks/compare_objectives.py STUDY --out DIR --report       # only the table and the chart

STUDY is `flickr8k` or `default`. The data DIR holds the folders that STUDIES below lists. --batches instead compares
RILS and CLIP for several global batch sizes. The chart needs matplotlib (Debian: python3-matplotlib).
"""

import argparse
import concurrent.futures
import dataclasses
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
OBJECTIVES = ["rils", "clip", "mae", "mae+clip"]
NAMES = {"rils": "RILS", "clip": "CLIP", "mae": "MAE", "mae+clip": "MAE + CLIP", "scratch": "from scratch"}
SHOTS = [1, 2, 5, 10]
# Fraction of the train images for fine-tuning, and the number of epochs.
FRACTIONS = {0.01: 40, 0.1: 10, 1.0: 2}
NEIGHBOURS = 10000  # train images among which nearest neighbours are searched
PROBE_FRACTION = 0.2  # fraction of the train images for the linear probe
# A short recipe: MAE's without its regularisation, which helps only after many epochs. It gives every option, because
# fine-tuning from scratch must use the same ones and not those of the pre-training configuration.
FINETUNE = ["--batch-size", 128, "--lr", 1e-3, "--min-lr", 1e-6, "--weight-decay", 0.05, "--beta2", 0.999,
            "--warmup-epochs", 0.5, "--input-size", 64, "--crop-scale", "0.35,1", "--flip", 0.5, "--interpolation", "bicubic",
            "--mixup", 0, "--cutmix", 0, "--reprob", 0, "--drop-path", 0, "--val-frequency", 0, "--num-workers", 1]


@dataclasses.dataclass
class Study:
    config: str          # file in apps/configs
    train: str           # images with captions
    test: str
    vocabulary: str
    train_labelled: str  # for kNN
    test_labelled: str
    labelled: str        # for probes and fine-tuning
    zero_shot: str       # labelled images with class names
    epochs: int
    pointing: bool       # whether the test images have boxes
    batch: int           # batch size of the configuration, to which its learning rate belongs


STUDIES = {
    "flickr8k": Study("flickr8k.toml", "flickr8k/train", "flickr8k/val", "flickr8k/vocabulary.txt", "cifar10/train",
                      "cifar10/test", "cifar10", "cifar10/test", 10, False, 256),
    "default": Study("rils_small.toml", "default/scenes/train", "default/scenes/test", "default/vocabulary.txt",
                     "default/fashion-mnist", "default/fashion-mnist", "default/fashion-mnist", "default/objects/test",
                     3, True, 128),
}


@dataclasses.dataclass
class Job:
    """A command. The file `done` is written when it succeeds. `folder` is the folder of the run that it makes, if any."""
    done: pathlib.Path
    command: list
    folder: pathlib.Path = None
    resumable: bool = False

    def run(self, threads):
        if self.done.exists():
            return
        command = list(map(str, self.command))
        if self.folder is not None and self.folder.exists():
            if self.resumable and (self.folder / "checkpoints/latest").exists():
                command += ["--resume", "latest"]
            else:
                shutil.rmtree(self.folder)
        self.done.parent.mkdir(parents=True, exist_ok=True)
        start = time.time()
        environment = dict(os.environ, **({"TESSERA_THREADS": str(threads)} if threads else {}))
        with open(self.done.with_suffix(".log"), "a", encoding="utf-8") as log:
            code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False).returncode
        if code != 0:
            raise RuntimeError(f"exit {code}: {' '.join(command)} (see {log.name})")
        self.done.write_text(json.dumps({"seconds": round(time.time() - start, 1), "command": command}))
        print(f"{time.strftime('%H:%M:%S')}  {self.done.parent.name}/{self.done.stem}  {time.time() - start:.0f} s",
              flush=True)


def pretraining(study, data, apps, run, objective, seed, extra=()):
    command = [apps / "pretrain", "--config", ROOT / "apps/configs" / study.config, "--objective", objective, "--seed", seed,
               "--train-data", data / study.train, "--val-data", data / study.test, "--vocabulary", data / study.vocabulary,
               "--epochs", study.epochs, "--logs", run, "--name", "run", "--workers", 1, "--val-frequency", study.epochs,
               "--set", "run.picture_frequency=0", *extra]
    return Job(run / "pretrain.done", command, run / "run", True)


def language_tests(study, data, apps, run):
    common = ["--checkpoint", run / "run", "--vocabulary", data / study.vocabulary]
    tests = {"retrieval": study.test, "zero-shot": study.zero_shot}
    if study.pointing:
        tests["pointing"] = study.test
    for task, source in tests.items():
        yield Job(run / f"{task}.done", [apps / "evaluate", task, *common, "--data", data / source, "--output",
                                         run / f"{task}.json"])


def frozen_tests(study, data, apps, run, seed):
    """Nearest neighbours and probes on frozen features."""
    yield Job(run / "knn.done", [apps / "evaluate", "knn", "--checkpoint", run / "run", "--train-data",
                                 data / study.train_labelled, "--data", data / study.test_labelled, "--train-samples",
                                 NEIGHBOURS, "--output", run / "knn.json"])
    for name, option in [("linear", ["--linear", "--train-fraction", PROBE_FRACTION]),
                         ("shots", ["--shots", ",".join(map(str, SHOTS))])]:
        yield Job(run / f"{name}.done", [apps / "finetune", "--finetune", run / "run", "--data-path", data / study.labelled,
                                         "--seed", seed, *option, "--output-dir", run / name], run / name)


def finetunings(study, data, apps, run, seed):
    """Fine-tuning from the run's checkpoint, or from scratch."""
    labelled = ["--data-path", data / study.labelled, "--seed", seed]
    start = ["--finetune", run / "run", "--layer-decay", 0.75]
    if run.name.startswith("scratch"):
        start = ["--layer-decay", 1.0, "--config", ROOT / "apps/configs" / study.config]
    for fraction, epochs in FRACTIONS.items():
        name = f"finetune{fraction:g}"
        yield Job(run / f"{name}.done", [apps / "finetune", *start, *labelled, *FINETUNE, "--train-fraction", fraction,
                                         "--epochs", epochs, "--output-dir", run / name], run / name, True)


def chain(arguments, study, objective, seed, batch):
    """The jobs of one pre-training, in order. The run with the configuration's own batch has no batch in its name."""
    data, apps = arguments.data, arguments.apps
    run, other_batch = arguments.out / f"{objective}-s{seed}", []
    if batch and batch != study.batch:
        run = arguments.out / f"{objective}-n{batch}-s{seed}"
        other_batch = ["--batch-size", min(batch, study.batch), "--global-batch-size", batch, "--lr",
                       f"{1e-3 * math.sqrt(batch / study.batch):.3g}"]  # the learning rate grows with its root
    if objective != "scratch":
        yield pretraining(study, data, apps, run, objective, seed, other_batch)
        if objective != "mae":
            yield from language_tests(study, data, apps, run)
        yield from frozen_tests(study, data, apps, run, seed)
    if not batch:
        yield from finetunings(study, data, apps, run, seed)


def run_chain(jobs, threads):
    for job in jobs:
        job.run(threads)


def run_all(arguments, study):
    if arguments.batches:
        chains = [(o, s, n) for s in arguments.seeds for n in arguments.batches for o in ("rils", "clip")]
    else:
        chains = [(o, s, None) for s in arguments.seeds for o in [*arguments.objectives, "scratch"]]
    threads = 1 if arguments.jobs > 1 else None  # the results do not depend on it
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        futures = [pool.submit(run_chain, chain(arguments, study, *c), threads) for c in chains]
        try:
            for future in concurrent.futures.as_completed(futures):
                future.result()
        except BaseException:  # includes Ctrl-C; start no new job
            pool.shutdown(wait=False, cancel_futures=True)
            raise


# ---- results

RETRIEVAL = "retrieval, text → image R@10"
LINEAR = f"linear probe on {100 * PROBE_FRACTION:g} %"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def figures(run):
    """The results of one pre-training and its evaluations: measure → value in %."""
    found = {}
    for task, names in {"retrieval": {"image_retrieval_recall@10": RETRIEVAL,
                                      "text_retrieval_recall@10": "retrieval, image → text R@10"},
                        "zero-shot": {"acc1": "zero-shot top 1"}, "knn": {"acc1": "20-NN top 1"},
                        "pointing": {"share": "energy-based pointing game"}}.items():
        if (run / f"{task}.done").exists():
            metrics = json.loads((run / f"{task}.json").read_text())["metrics"]
            found |= {label: 100 * metrics[key] for key, label in names.items()}
    if (run / "linear.done").exists():
        found[LINEAR] = 100 * lines(run / "linear/results.jsonl")[-1]["lp_acc1"]
    if (run / "shots.done").exists():
        found |= {f"{line['shots']}-shot probe": 100 * line["lp_acc1"] for line in lines(run / "shots/results.jsonl")
                  if "draws" in line}
    for fraction in FRACTIONS:
        name = f"finetune{fraction:g}"
        if (run / f"{name}.done").exists():
            found[f"fine-tuned on {100 * fraction:g} %"] = 100 * lines(run / name / "results.jsonl")[-1]["acc1"]
    return found


def collect(out, pattern):
    """{column: {measure: [one value per seed]}}"""
    table = {}
    for run in sorted(out.glob(pattern)):
        for measure, value in figures(run).items():
            table.setdefault(run.name.rsplit("-s", 1)[0], {}).setdefault(measure, []).append(value)
    return table


def cell(values):
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def batch_of(column):
    """The batch size in a column's name: 64 for "rils-n64"."""
    return int(column.rsplit("-n", 1)[1])


def sweep_of(arguments, study, table):
    """The columns "rils-n64" and so on. Those of the configuration's own batch are taken from `table`."""
    sweep = collect(arguments.out, "*-n*-s*")
    measures = {measure for column in sweep.values() for measure in column}
    for objective in ("rils", "clip"):
        shared = {m: values for m, values in table.get(objective, {}).items() if m in measures}
        if shared:
            sweep[f"{objective}-n{study.batch}"] = shared
    return sweep


def markdown(table, columns):
    measures = list(dict.fromkeys(m for c in columns for m in table.get(c, {})))
    counts = {len(v) for c in columns for v in table.get(c, {}).values()}
    lines = ["| % | " + " | ".join(NAMES.get(c, c) for c in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {m} | " + " | ".join(cell(table.get(c, {}).get(m, [])) for c in columns) + " |" for m in measures]
    return "\n".join([*lines, "", f"seeds per cell: {', '.join(map(str, sorted(counts)))}; mean ± std"])


def open_pyplot():
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "tessera", "font.size": 8, "axes.titlesize": 8.5,
                                "axes.spines.top": False, "axes.spines.right": False})
    from matplotlib import pyplot
    return pyplot


def draw_measures(table, columns, path):
    """Draws a panel for each measure and a line for each column, with seeds as points and their mean as a stroke. Axes do
    not begin at 0, so that differences can be seen."""
    pyplot = open_pyplot()
    measures = list(dict.fromkeys(m for c in columns for m in table.get(c, {})))
    rows = math.ceil(len(measures) / 4)
    figure, axes = pyplot.subplots(rows, 4, figsize=(11, 1.75 * rows), squeeze=False, sharey=True)
    for axis, measure in zip(axes.flat, measures):
        for i, column in enumerate(columns):
            values = table.get(column, {}).get(measure)
            if values:
                axis.plot(values, [i] * len(values), "o", color=f"C{i}", markersize=4, alpha=0.7)
                axis.plot(statistics.mean(values), i, "|", color=f"C{i}", markersize=16, markeredgewidth=2)
        axis.set_title(measure)
        axis.margins(x=0.12)
        axis.grid(axis="x", alpha=0.3)
        axis.tick_params(axis="y", length=0)
    axes[0, 0].set_yticks(range(len(columns)), [NAMES[c] for c in columns])
    axes[0, 0].set_ylim(len(columns) - 0.4, -0.6)
    for axis in list(axes.flat)[len(measures):]:
        axis.set_visible(False)
    figure.supxlabel("%; a point for each seed, a stroke for their mean", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def draw_batches(table, path):
    """Draws two measures over the global batch, with seeds as points and a line through their means."""
    pyplot = open_pyplot()
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.2))
    for axis, measure in zip(axes, (RETRIEVAL, LINEAR)):
        for objective in ("rils", "clip"):
            points = sorted((batch_of(c), v[measure]) for c, v in table.items()
                            if c.startswith(objective + "-n") and measure in v)
            line, = axis.plot([n for n, _ in points], [statistics.mean(v) for _, v in points], label=NAMES[objective])
            for n, values in points:
                axis.plot([n] * len(values), values, "o", color=line.get_color(), markersize=4, alpha=0.7)
        batches = sorted({batch_of(c) for c in table})
        axis.set_xscale("log", base=2)
        axis.set_xticks(batches, batches)
        axis.set_xlabel("global batch, pairs")
        axis.set_ylabel("%")
        axis.set_title(measure)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def report(arguments):
    columns = [*OBJECTIVES, "scratch"]
    table = {name: column for name, column in collect(arguments.out, "*-s*").items() if name in columns}
    sweep = sweep_of(arguments, STUDIES[arguments.study], table)
    if not table and not sweep:
        sys.exit(f"error: {arguments.out}: expected results, found none")
    if table:
        print(markdown(table, columns))
        draw_measures(table, columns, arguments.out / "objectives.svg")
    if sweep:
        print(markdown(sweep, sorted(sweep, key=lambda c: (c.split("-")[0], batch_of(c)))))
        draw_batches(sweep, arguments.out / "batches.svg")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "data")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--apps", type=pathlib.Path, default=ROOT / "build/release/apps")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=OBJECTIVES)
    parser.add_argument("--batches", type=int, nargs="+", help="compare RILS and CLIP for these global batch sizes instead")
    parser.add_argument("--jobs", type=int, default=2, help="number of runs at a time, with one thread each")
    parser.add_argument("--report", action="store_true", help="only print the table and draw the chart of finished runs")
    arguments = parser.parse_args()
    if not arguments.report:
        run_all(arguments, STUDIES[arguments.study])
    report(arguments)


if __name__ == "__main__":
    main()
