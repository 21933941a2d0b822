"""Words for lexical search: English stems, Chinese characters and pairs, product codes, numbers."""

import re
import threading
import unicodedata
from collections.abc import Iterator

_CJK = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3040-\u30ff"
_TOKEN = re.compile(
    rf"(?P<cjk>[{_CJK}]+)"
    r"|(?P<number>(?<![^\W_])\d+(?:[.,]\d+)*(?:%|(?![^\W_]|[-/_.]\w)))"
    rf"|(?P<code>(?:(?![{_CJK}])[^\W_])+(?:[-/_.+]+(?:(?![{_CJK}])[^\W_])+)+)"
    rf"|(?P<word>(?:(?![{_CJK}])[^\W_])+(?:['’](?:(?![{_CJK}])[^\W_])+)*)"
)
_PART = re.compile(r"[^\W\d_]+|\d+")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
# Words so common that a question is never about them; "not" and "no" stay, they turn a meaning round.
STOP_WORDS = frozenset(
    """a an and are as at be been but by can could did do does for from had has have how i if in into is it its me my of
    on or our please so such that the their them then there these they this to was we were what when which will with
    would you your""".split()  # noqa: SIM905 - sixty strings in quotes read worse
)
_LOCAL = threading.local()  # a stemmer keeps a cache and must not be shared between threads


def tokenize(text: str, stop_words: frozenset[str] = STOP_WORDS) -> list[str]:
    """Index terms of a text, in order, with repetitions.

    English words are casefolded and stemmed (Snowball). A run of Chinese or Japanese gives its characters and pairs
    of neighbours. A code such as ``AB-1234/x`` gives itself and its parts, a number its value: ``1,234.50`` and
    ``1234.5`` are the same term, ``3.5%`` gives ``3.5%`` and ``3.5``.
    """
    return [term for term in _terms(unicodedata.normalize("NFKC", text).casefold()) if term not in stop_words]


def _terms(text: str) -> Iterator[str]:
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match[0]
        if kind == "cjk":
            yield from token
            yield from (token[i : i + 2] for i in range(len(token) - 1))
        elif kind == "number":
            value = _value(token.removesuffix("%"))
            yield value
            if token.endswith("%"):
                yield f"{value}%"
        elif kind == "code":
            yield from _code(token)
        else:
            yield from _word(token)


def _value(number: str) -> str:
    """The number without grouping and needless zeros; a date or version with several points stays as it is."""
    if _THOUSANDS.fullmatch(number):
        number = number.replace(",", "")
    elif number.count(",") == 1 and "." not in number:
        number = number.replace(",", ".")
    if number.count(".") == 1:
        number = number.rstrip("0").rstrip(".")
    return number.lstrip("0") or "0"


def _code(token: str) -> Iterator[str]:
    parts = _PART.findall(token)
    if any(part.isdigit() for part in parts):
        yield token
        yield from (part if part.isdigit() else _stem(part) for part in parts)
    else:  # words joined by a hyphen, slash or full stop
        yield from (_stem(part) for part in parts)


def _word(token: str) -> Iterator[str]:
    word = re.sub(r"['’]s$", "", token).replace("’", "'").replace("'", "")
    yield _stem(word)
    parts = _PART.findall(word)
    if len(parts) > 1:  # letters and digits in one: b2b, iphone15
        yield from parts


def _stem(word: str) -> str:
    if word in STOP_WORDS:
        return word
    stemmer = getattr(_LOCAL, "stemmer", None)
    if stemmer is None:
        from Stemmer import Stemmer

        stemmer = _LOCAL.stemmer = Stemmer("english")
    return str(stemmer.stemWord(word))
