"""Makes merges.txt (a small vocabulary learned here) and tokens.tsv (texts and their ids by open_clip's SimpleTokenizer).

    python make_tokens.py        needs open_clip_torch

tokens.tsv: the text as hexadecimal UTF-8, a tab, the ids without start and end of text.
"""

import collections
import os
import pathlib
import random
import sys

from open_clip.tokenizer import SimpleTokenizer, bytes_to_unicode

HERE = pathlib.Path(__file__).parent
SENTENCES = [
    "A red apple left of a dog, below a bus.", "Two children are playing football on the green grass!",
    "the man's hat wasn't blue; they'll see it's grey", "a photo of the large building at night (2019)",
    "People walk along the river while boats pass under an old bridge.", "A black-and-white cat sleeps on the sofa",
]


def learn(words, count):
    """Plain byte-pair encoding over byte characters, ties by the symbols' order."""
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


def texts():
    yield from SENTENCES
    yield from ["", "   ", "ÉCOLE d'été à Zürich", "ΟΔΟΣ ΣΟΦΙΑΣ Σ", "İstanbul ISPARTA", "naïve café", "e\u0301 cafe\u0301",
                "ﬁne ﬂower ﬃ", "ＡＢＣ１２３！", "“quoted” and ‘single’", "it’s John’s", "&lt;b&gt; &amp;amp; &eacute;&#233;&#xe9;",
                "tab\tand\nnew  line\u00a0nbsp", "日本語の文字 漢字", "Привет, мир", "हिन्दी पाठ", "مرحبا بالعالم", "👍🏽 👩‍👩‍👧 🇩🇪",
                "x²+y³=½", "１２３ ٣٤٥ Ⅷ", "co-operate, re-do...!!!", "don't DON'T we've I'm he'd she'll you're", "a'ſ K",
                "<start_of_text> hi <end_of_text>", "ß STRASSE ẞ", "ǅ ǆ Ǆ", "100% $5.00 #tag @user", "\u200bzero\u200dwidth"]
    rng = random.Random(0)
    pools = ["abcdefghijklmnop QRSTUV.,'-", "абвгдеж ЗИК", "αβγδ ΣΣΑς", "0123456789 +-", "日本漢字 かな", "éèêëñçüöä "]
    for _ in range(400):
        pool = rng.choice(pools) + rng.choice(pools)
        yield "".join(rng.choice(pool) for _ in range(rng.randint(1, 40)))


def main():
    words = [w for s in SENTENCES for w in s.lower().replace("'", " ").split()]
    merges = learn(words, 400)
    path = HERE / "merges.txt"
    path.write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), encoding="utf-8")
    tokenizer = SimpleTokenizer(bpe_path=gzipped(path))
    with open(HERE / "tokens.tsv", "w", encoding="ascii") as out:
        for text in texts():
            ids = " ".join(map(str, tokenizer.encode(text)))
            out.write(f"{text.encode().hex()}\t{ids}\n")


def gzipped(path):
    import gzip
    target = pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / "merges.txt.gz"
    with gzip.open(target, "wb") as f:
        f.write(path.read_bytes())
    return str(target)


if __name__ == "__main__":
    sys.exit(main())
