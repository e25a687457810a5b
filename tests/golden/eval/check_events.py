"""Checks that TensorBoard's own reader accepts a run's events and finds the values of its logs.

    check_events.py logs/NAME        (a run with --report-to tensorboard)

Needs tensorboard. Every number of metrics.jsonl and results.jsonl must be present under train/… and val/… at its step, to
the precision of an f32. Every drawing in pictures/ and the configuration must be readable. The exit code is 1 if
something is missing or differs.
"""

import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def logged(path, prefix):
    """(tag, step) to value, of every finite number in a log."""
    values = {}
    for line in path.read_text().splitlines():
        record = json.loads(line)
        for name, value in record.items():
            if name != "step" and isinstance(value, (int, float)):
                values[f"{prefix}/{name}", record["step"]] = float(value)
    return values


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    run = pathlib.Path(sys.argv[1])
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    found = {(tag, e.step): e.value for tag in tags["scalars"] for e in events.Scalars(tag)}
    for tag in tags["tensors"]:
        for e in events.Tensors(tag):
            if e.tensor_proto.float_val:
                found[tag, e.step] = e.tensor_proto.float_val[0]
    wanted = logged(run / "metrics.jsonl", "train") | logged(run / "results.jsonl", "val")
    wrong = 0
    for key, value in sorted(wanted.items()):
        if key not in found or abs(found[key] - value) > 1e-6 * abs(value) + 1e-30:
            wrong += 1
            print(f"{key[0]} at step {key[1]}: logged {value}, in the events {found.get(key)}")
    pictures = [e for tag in tags["images"] for e in events.Images(tag)]
    wrong += sum(not e.encoded_image_string.startswith(b"\x89PNG") for e in pictures)
    drawn = [p for p in (run / "pictures").glob("step_*.svg")]
    if len(pictures) != len(drawn):
        wrong += 1
        print(f"{len(drawn)} drawings in pictures/, {len(pictures)} in the events (rsvg-convert makes them)")
    texts = [tag for tag in tags["tensors"] if any(e.tensor_proto.string_val for e in events.Tensors(tag))]
    wrong += not any(tag.startswith("configuration") for tag in texts)
    print(f"{len(wanted)} logged figures, {len(found)} scalars, {len(pictures)} pictures, texts {texts}, {wrong} wrong")
    sys.exit(1 if wrong or not wanted else 0)


if __name__ == "__main__":
    main()
