"""Writes html_entities.cpp and character_tables.cpp beside itself.

    python make_tables.py        needs ftfy and regex

The names are HTML 5's named character references, as Python's html.entities has them. The character classes and the
order of the code pages are those of ftfy (Robyn Speer, Apache License 2.0); the code pages are Python's codecs. The
letters and numbers beyond Python's Unicode (14 or later) are those that the package regex knows, whose tables are newer.
"""

import html.entities
import pathlib
import re
import unicodedata

import ftfy.bad_codecs  # noqa: F401  registers the sloppy codecs
import regex
from ftfy.badness import MOJIBAKE_CATEGORIES
from ftfy.chardata import CHARMAP_ENCODINGS, UTF8_CLUES

HERE = pathlib.Path(__file__).parent
HEAD = "// Made by make_tables.py: change that, not this. {}\n// clang-format off\n"

# In the order of the bits of CharacterClass.
CLASSES = ["common", "c1", "bad", "law", "currency", "start_punctuation", "end_punctuation", "numeric", "kaomoji",
           "upper_accented", "lower_accented", "upper_common", "lower_common", "box", "utf8_first_of_2",
           "utf8_first_of_3", "utf8_first_of_4", "utf8_continuation", "utf8_continuation_strict"]


def wrapped(items, indent, separator, width=118):
    lines, line = [], indent
    for item in items:
        if len(line) + len(item) + len(separator) > width:
            lines.append(line.rstrip())
            line = indent
        line += item + separator
    return "\n".join(lines + [line.rstrip()]) + "\n"


def entities():
    table = html.entities.html5
    items = []
    for name in sorted(n[:-1] for n in table if n.endswith(";")):
        codes = "+".join(f"{ord(c):x}" for c in table[name + ";"])
        items.append(f"{name}{'!' if name in table else ''} {codes} ")
    body = wrapped(items, "", "").splitlines()
    return (HEAD.format("Source: HTML 5's named character references.") +
            '#include "rils/text/tables/tables.h"\n\nnamespace tessera::rils {\n\n'
            "const std::string_view kHtmlEntities =\n" +
            "\n".join(f'"{line} "' for line in body) + ";\n\n}  // namespace tessera::rils\n")


def class_ranges():
    members = MOJIBAKE_CATEGORIES | UTF8_CLUES
    assert sorted(CLASSES) == sorted(members)
    patterns = [re.compile(f"[{members[name]}]") for name in CLASSES]
    ranges = []
    for code in range(0x10000):
        mask = sum(1 << i for i, p in enumerate(patterns) if p.match(chr(code)))
        if mask and ranges and ranges[-1][1] == code - 1 and ranges[-1][2] == mask:
            ranges[-1][1] = code
        elif mask:
            ranges.append([code, code, mask])
    return [f"{{0x{a:x}, 0x{b:x}, 0x{m:x}}}," for a, b, m in ranges]


def code_pages():
    text = ""
    for name in CHARMAP_ENCODINGS[1:]:
        high = bytes(range(0x80, 0x100)).decode(name)
        text += f"    {{{{  // {name}\n" + wrapped([f"0x{ord(c):x}," for c in high], "    ", " ") + "    }},\n"
    return text


def newer(category):
    pattern = regex.compile(rf"\p{{{category}}}")
    ranges = []
    for code in range(0x110000):
        if unicodedata.category(chr(code)) != "Cn" or not pattern.match(chr(code)):
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return wrapped([f"{{0x{a:x}, 0x{b:x}}}," for a, b in ranges], "    ", " ")


def characters():
    return (HEAD.format("Sources: ftfy (Robyn Speer, Apache License 2.0) and Python's codecs.") +
            '#include "rils/text/tables/tables.h"\n\nnamespace tessera::rils {\nnamespace {\n\n'
            "constexpr ClassRange kRanges[] = {\n" + wrapped(class_ranges(), "    ", " ") + "};\n\n"
            "constexpr CodeRange kLetters[] = {\n" + newer("L") + "};\n\n"
            "constexpr CodeRange kNumbers[] = {\n" + newer("N") + "};\n\n}  // namespace\n\n"
            "const std::span<const CodeRange> kNewerLetters = kLetters;\n"
            "const std::span<const CodeRange> kNewerNumbers = kNumbers;\n"
            "const std::span<const ClassRange> kClassRanges = kRanges;\n\n"
            "const std::array<std::array<char16_t, 128>, 9> kCodePages = {{\n" + code_pages() +
            "}};\n\n}  // namespace tessera::rils\n")


if __name__ == "__main__":
    (HERE / "html_entities.cpp").write_text(entities())
    (HERE / "character_tables.cpp").write_text(characters())
