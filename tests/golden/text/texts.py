"""Texts that a caption cleaner can get wrong. texts(count, seed) yields the same texts each time."""

import html.entities
import random
import re
import unicodedata

import ftfy.bad_codecs  # noqa: F401  registers the sloppy codecs
from ftfy.badness import MOJIBAKE_CATEGORIES
from ftfy.chardata import CHARMAP_ENCODINGS, UTF8_CLUES

SENTENCES = [
    "A red apple left of a dog, below a bus.", "Two children are playing football on the green grass!",
    "the man's hat wasn't blue; they'll see it's grey", "a photo of the large building at night (2019)",
    "People walk along the river while boats pass under an old bridge.", "A black-and-white cat sleeps on the sofa",
    "Le garçon mange une crêpe à la crème, voilà où ça mène.", "Größe, Übermut & ein süßer Käse für 5 €",
    "El niño soñó con un pingüino: ¿qué pasó? ¡Olé!", "São Paulo às 7h, àquela hora não há avião",
    "Příliš žluťoučký kůň úpěl ďábelské ódy", "Zażółć gęślą jaźń", "Árvíztűrő tükörfúrógép",
    "İstanbul'da ışık ve çığlık, ağaç IĞDIR", "Съешь ещё этих мягких французских булок", "Їжак і ґанок",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. ΟΔΥΣΣΕΥΣ ΣΟΦΟΣ", "Ķēniņš, žagari un ģērbtuve", "Įlinkdama fechtuotojo špaga",
    "السماء زرقاء ١٢٣", "עברית עם ניקוד שָׁלוֹם", "हिन्दी में एक वाक्य", "ภาษาไทย", "தமிழ்", "日本語の文、ｶﾀｶﾅ　ＡＢＣ",
    "中文字符，測試。", "한국어 문장", "Tiếng Việt có dấu", "👍🏽 👩‍👩‍👧 🇩🇪 ❤️ 1️⃣", "“quoted” – it’s … ™ • ‘x’", "¯\\_(ツ)_/¯ ಠ_ಠ ヽ(ﾟДﾟ)ﾉ",
    "5 × 3 ÷ 2 = 7½ ± 0.1 µm at 20 °C", "e\u0301 a\u0308 o\u0302\u0323 \u1e9b\u0323 q\u0323\u0307", "ﬂuﬃeﬆ ﬁn ﬅop ǆep Ĳs ŉ",
]
FIXED = [
    "", "   ", "ÉCOLE Bébé à Zürich", "ΟΔΟΣ ΣΟΦΑΣ Σ", "ΑΣ. ΑΣ.Α Α'Σ' \u00aaΣ ⅣΣ Ⓐ\u0301Σ Σ́ ΑΣ\u00ad", "İstanbul ISPARTA ıİ", "x²+y³=½",
    "１２３ ٣٤٥ Ⅷ", "co-operate, re-do...!!!", "don't DON'T we've I'm he'd she'll you're", "a'ſ K 'ﬅ", "<start_of_text> hi <end_of_text>",
    "<START_OF_TEXT>x<End_Of_Text>", "<ſtart_of_text>", "a</w> </w>b </w>", "ß STRASSE ẞ", "ǅ ǆ Ǆ", "100% $5.00 #tag @user",
    "\u200bzero\u200dwidth\u2060", "x\u0345y !\u0345! \u0345",
    "\u6f22\U000323b0\u5b57 ab\U00013460c! \U00011bf0x \U0003fc40", "&lt;b&gt; &amp;amp; &eacute;&#233;&#xe9;", "<b>&eacute;</b> &amp;lt;", "a &lt; b\n<i>\n&amp;amp;amp; c",
    "&amp;amp;amp;amp;lt;", "P&EACUTE;REZ BUNDESSTRA&SZLIG;E &FFILIG; &NAPOS; &nTILDE; &LTIMES; &AMPX;", "&ampfoo &notit; &notin; &copy2019 &ltgt",
    "&#0; &#128; &#x80; &#150; &#xd800; &#x110000; &#99999999999999999999; &#xfffe; &#1; &#59; &#12abc; &#xyz; &#; &#x; &", "&CounterClockwiseContourIntegral; &fjlig; &bne; &ThickSpace;",
    "&unknownentityname; &toolongtobeanentityofanykindatall;", "&amp\u00e9;", "&#\u0661;", "\x1b[36;44mblue\x1b[0m \x1b[\u0663m \x1b[ \x1b[1", "\ufeffbom a\ufeffb", "a\rb\r\nc\u2028d\u2029e\x85f\x0bg\x0ch",
    "\x00nul\x07bell\x7f", "\ufff9a\ufffab\ufffbc\ufffc", "âœ” No problems", "â€œquoteâ€\x9d", "â€œlossyâ€\ufffd", "voilÃ  le travail", "Ã la mode", "fÃ cil",
    "Ã quele dia", "Ã s vezes", "Ã©tÃ©", "schÃ¶n und gut", "l’humanitÃ©", "Â£5 Â© 2019", "ÃƒÂ©tÃƒÂ©", "RUF MICH ZURÃœCK", "à²¸à³", "the â€“ dash", "Õ¡", "Ãƒâ€šÃ‚Â",
    "Ñ‚ÐµÑÑ‚", "РїСЂРёРІРµС‚", "вЂњС‚РµСЃС‚вЂќ", "Î±Î²Î³", "Ø³Ù„Ø§Ù…", "ðŸ˜€ ðŸ‘\x8d", "√© caf√©", "‚Äúhi‚Äù", "├⌐t├⌐", "Ã¡ À\n", "í\xa0½í¸\x80", "í ½í¸€", "À\x80 Ã©",
    "\x80 and \x99s", "it\x92s \x93so\x94", "caf\xe9 \x81", "Å", "Åland Ã", "AÂ·B", "×²", "3° À° É°", "œ œuvre Œ!", "ГўВЂВ™s", "€™", "β€™", "ā€™", "\ufffd", "\x1a Ã©", "Ã\x1a",
    "ðŸ˜  angry", "ðŸ €", "ð €€", "caf√© – ok", "┌─┐│x│└─┘", "░▒▓ ▀▄", "Ω≈ç√∫˜µ≤≥÷", "ÅÄÖ åäö", "(O_O) ò_ó Ù_Ù ö", "naïve façade — coöperate",
]
CATEGORY_CHARACTERS = sorted({chr(c) for c in range(0x10000) for p in [re.compile("[" + "".join(list(MOJIBAKE_CATEGORIES.values()) +
                              list(UTF8_CLUES.values())) + "]")] if p.match(chr(c))})
ASSIGNED = [c for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
SMALL = [c for c in ASSIGNED if c < 0x3000]
COMBINING = [c for c in ASSIGNED if unicodedata.combining(chr(c))]
DECOMPOSING = [c for c in ASSIGNED if unicodedata.normalize("NFD", chr(c)) != chr(c) and not 0xac00 <= c < 0xd7a4]
NAMES = sorted(html.entities.html5)
PAGES = [("latin-1", 6), ("sloppy-windows-1252", 12)] + [(p, 2) for p in CHARMAP_ENCODINGS[2:]]


def read_wrongly(rng, text):
    """UTF-8 that was decoded as a code page, once or several times, and is sometimes damaged."""
    for _ in range(rng.choice([1, 1, 1, 1, 2, 2, 3])):
        page = rng.choices([p for p, _ in PAGES], [w for _, w in PAGES])[0]
        data = text.encode("utf-8", "replace")
        if rng.random() < 0.1:
            data = text.encode("utf-16", "surrogatepass").decode("utf-16").encode("utf-8")
            data = b"".join(cesu(c) for c in data.decode())
        if rng.random() < 0.05:
            data = data.replace(b"a", b"\xc0\x80")
        text = data.decode(page, "replace")
        damage = rng.random()
        if damage < 0.15:
            text = text.replace("\xa0", " ")
        elif damage < 0.25:
            text = re.sub("[\x80-\x9f]", rng.choice(["\ufffd", "?", "", "\x1a"]), text)
        elif damage < 0.30 and text:
            at = rng.randrange(len(text))
            text = text[:at] + text[at + 1:]
    return text


def cesu(character):
    code = ord(character)
    if code < 0x10000:
        return character.encode()
    code -= 0x10000
    return b"".join(chr(u).encode("utf-8", "surrogatepass") for u in (0xd800 + (code >> 10), 0xdc00 + (code & 0x3ff)))


def entity(rng):
    kind = rng.random()
    name = rng.choice(NAMES)
    if kind < 0.4:
        text = "&" + name
    elif kind < 0.5:
        text = "&" + name.upper()
    elif kind < 0.6:
        text = "&" + name.rstrip(";") + rng.choice(["x", "", " ", "é", "9;", ";;"])
    elif kind < 0.8:
        code = rng.choice([rng.randrange(0x180), rng.randrange(0x3000), rng.randrange(0x120000), 0xfdd0, 0xffff])
        text = rng.choice(["&#%d", "&#x%x", "&#X%X", "&#0%d"]) % code + rng.choice([";", ";", "", "z"])
    else:
        text = "&" + "".join(rng.choice("ampltgt#x;&;AEacute1") for _ in range(rng.randint(1, 12)))
    return text.replace("&", "&amp;") if rng.random() < 0.2 else text


def characters(rng, pool, most):
    return "".join(chr(rng.choice(pool)) for _ in range(rng.randint(1, most)))


def piece(rng):
    """A text of one kind."""
    kind = rng.randrange(13)
    sentence = rng.choice(SENTENCES)
    words = sentence.split()
    part = " ".join(words[:rng.randint(1, len(words))])
    if kind <= 2:
        return read_wrongly(rng, part)
    if kind == 3:
        return part + rng.choice(["", " "]) + read_wrongly(rng, rng.choice(SENTENCES).split()[0]) + rng.choice(["", " ", "!"]) + part
    if kind == 4:
        return "".join(rng.choice(CATEGORY_CHARACTERS) if rng.random() < 0.7 else rng.choice("aZ e.,?'1\n") for _ in range(rng.randint(1, 8)))
    if kind == 5:
        return bytes(rng.choice([rng.randrange(256), rng.randrange(0x80, 0x100), 0xc3, 0xe2, 0x80, 0xed, 0x20, 0x1a])
                     for _ in range(rng.randint(1, 10))).decode(rng.choice(CHARMAP_ENCODINGS), "replace")
    if kind == 6:
        return " ".join(entity(rng) for _ in range(rng.randint(1, 4))) + rng.choice(["", " <", " Ã©"])
    if kind == 7:
        return "".join(rng.choice([chr(rng.randrange(0x20)), "\x1b[1;3m", "\x1b[", "\r\n", "\x85", "\u2028", "\ufeff", "\u206a", "\x7f", part[:5], " "])
                       for _ in range(rng.randint(2, 9)))
    if kind == 8:
        return "".join(rng.choice(["Σ", "Σ", "σ", "ς", "Α", "a", "İ", "I", ".", "'", ":", "\u0301", "\xad", " ", "1", "Ⅷ", "Ⓑ", "ª", "ʰ", "\u2019", "Ა", "Ꭰ"])
                       for _ in range(rng.randint(2, 10)))
    if kind == 9:
        return "".join(chr(rng.choice(DECOMPOSING)) if rng.random() < 0.3 else rng.choice("aeiouy가각က") if rng.random() < 0.3
                       else chr(rng.choice(COMBINING)) for _ in range(rng.randint(2, 9)))
    if kind == 10:
        return characters(rng, range(0xff00, 0xfff0), 6) + characters(rng, range(0x100, 0x250), 6) + rng.choice(["", part])
    return characters(rng, ASSIGNED if kind == 11 else SMALL, 12)


def texts(count, seed=0):
    rng = random.Random(seed)
    yield from FIXED
    yield from SENTENCES
    for made in range(count - len(FIXED) - len(SENTENCES)):
        if made % 500 == 499:
            yield " ".join(rng.choice(SENTENCES) for _ in range(40))
        elif made % 7 == 6:
            yield rng.choice(["", " ", "\n"]).join(piece(rng) for _ in range(rng.randint(2, 4)))
        else:
            yield piece(rng)
