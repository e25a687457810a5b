"""Makes merges.txt (a small vocabulary learned here), tokens.tsv (texts as open_clip's SimpleTokenizer cleans and encodes
them) and garbled.txt (which pairs of characters ftfy takes for wrongly decoded).

    python make_tokens.py        needs open_clip_torch

tokens.tsv has the text, the cleaned text, and the ids without start and end of text, separated by tabs. The texts are
UTF-8 with \\t, \\n, \\r, \\0 and \\\\ escaped. garbled.txt has the characters in hexadecimal, then a row for each of them: a
bit for every second character of a pair, four bits to a digit, the first bit highest.
"""

import collections
import gzip
import pathlib
import sys
import tempfile

from ftfy.badness import is_bad
from open_clip.tokenizer import SimpleTokenizer, bytes_to_unicode, get_clean_fn

from texts import CATEGORY_CHARACTERS, SENTENCES, texts

HERE = pathlib.Path(__file__).parent


def learn(words, count):
    """Plain byte-pair encoding over byte characters; ties are broken by the order of the symbols."""
    table = bytes_to_unicode()
    corpus = [tuple([table[b] for b in w.encode()[:-1]] + [table[w.encode()[-1]] + "</w>"]) for w in words]
    merges = []
    for _ in range(count):
        pairs = collections.Counter(p for w in corpus for p in zip(w, w[1:]))
        if not pairs:
            break
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        joined = []
        for w in corpus:
            out, i = [], 0
            while i < len(w):
                if w[i:i + 2] == best:
                    out.append(best[0] + best[1])
                    i += 2
                else:
                    out.append(w[i])
                    i += 1
            joined.append(tuple(out))
        corpus = joined
    return merges


def escaped(text):
    for plain, code in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"), ("\0", "\\0")):
        text = text.replace(plain, code)
    return text


def tokens(tokenizer):
    clean = get_clean_fn("lower")
    for text in texts(1800):
        ids = " ".join(map(str, tokenizer.encode(text)))
        yield f"{escaped(text)}\t{escaped(clean(text))}\t{ids}\n"


def garbled():
    seconds = [" ", "a", "Z", "1", "\n"] + CATEGORY_CHARACTERS
    yield " ".join(f"{ord(c):x}" for c in seconds) + "\n"
    for first in seconds:
        bits = "".join("1" if is_bad(first + second) else "0" for second in seconds)
        bits += "0" * (-len(bits) % 4)
        yield f"{int(bits, 2):0{len(bits) // 4}x}\n"


def main():
    words = [w for s in SENTENCES[:6] for w in s.lower().replace("'", " ").split()]
    merges = learn(words, 400)
    text = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges)
    (HERE / "merges.txt").write_text(text, encoding="utf-8")
    with tempfile.NamedTemporaryFile(suffix=".gz") as packed:
        packed.write(gzip.compress(text.encode()))
        packed.flush()
        tokenizer = SimpleTokenizer(bpe_path=packed.name)
    with open(HERE / "tokens.tsv", "w", encoding="utf-8", newline="\n") as out:
        out.writelines(tokens(tokenizer))
    with open(HERE / "garbled.txt", "w", encoding="ascii") as out:
        out.writelines(garbled())


if __name__ == "__main__":
    sys.exit(main())
