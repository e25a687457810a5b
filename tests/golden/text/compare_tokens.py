"""Compares `inspect tokens` with open_clip on CLIP's own vocabulary.

    python compare_tokens.py build/release/apps/inspect [--count 20000] [--seed 1] [--any]

Needs open_clip_torch. Prints the first texts whose ids differ, and their number. --any adds random code points, assigned
or not.
"""

import argparse
import random
import subprocess
import sys

from open_clip.tokenizer import SimpleTokenizer, default_bpe

from texts import texts


def lines(options):
    for text in texts(options.count, options.seed):
        yield text.replace("\n", " ")
    rng = random.Random(options.seed)
    for _ in range(options.count // 4 if options.any else 0):
        codes = [rng.randrange(0x110000) for _ in range(rng.randint(1, 8))]
        yield "".join(chr(c) for c in codes if not 0xd800 <= c < 0xe000 and c != 10)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--any", action="store_true")
    options = parser.parse_args()
    inputs = list(lines(options))
    tokenizer = SimpleTokenizer()
    length = 512
    command = [options.program, "tokens", "--vocabulary", default_bpe(), "--context-length", str(length)]
    output = subprocess.run(command, input="".join(t + "\n" for t in inputs).encode(), capture_output=True, check=True).stdout
    rows = output.decode().splitlines()
    assert len(rows) == len(inputs), f"{len(rows)} rows for {len(inputs)} texts"
    different = 0
    for text, row in zip(inputs, rows):
        expected = tokenizer(text, length)[0].tolist()
        found = list(map(int, row.split()))
        if found != expected:
            different += 1
            if different <= 20:
                print(ascii(text), ascii(tokenizer.decode([i for i in expected if 0 < i < 49406])),
                      ascii(tokenizer.decode([i for i in found if 0 < i < 49406])), sep="\n  ")
    print(f"{len(inputs)} texts, {different} differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
