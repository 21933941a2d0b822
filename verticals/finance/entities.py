"""Which companies does a text name: an alias table, longest match first, and evidence for aliases that are words."""

import csv
import json
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import InputError

# Said near a company and rarely near a bird, a fern or a lighthouse.
_CUES = re.compile(
    r"\b(?:shares?|stock|shareholders?|investors?|analysts?|brokers?|dividend|earnings|profits?|revenue|sales|results"
    r"|quarter\w*|guidance|outlook|ceo|cfo|chief|board|chair\w*|directors?|plc|inc|ltd|group|company|firm|bank|ipo"
    r"|bond|notes|merger|acqui\w+|takeover|stake|nyse|nasdaq|lse|upgrade[sd]?|downgrade[sd]?)\b",
    re.IGNORECASE,
)
_SIGNS = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af"
_CJK = re.compile(f"[{_SIGNS}]")
_WORD = re.compile(rf"[^\W{_SIGNS}]+(?:[&.'\u2019-][^\W{_SIGNS}]+)*")
_TICKER = re.compile(r"[A-Z0-9.&-]{1,6}")
_CUE_REACH = 60  # characters before and after an alias in which a cue counts


@dataclass(frozen=True)
class Company:
    """A watched company. Its name is also an alias, and so is its code."""

    code: str
    name: str
    aliases: tuple[str, ...] = ()
    sector: str = ""
    country: str = ""


@dataclass(frozen=True)
class Mention:
    """A company named in a text: [start, end) are character positions of the first mention."""

    code: str
    name: str
    start: int
    end: int
    alias: str


@dataclass(frozen=True)
class _Alias:
    text: str
    company: Company
    weak: bool  # a ticker, or a single word that everyday language has too: alone it proves nothing


class AliasTable:
    """Finds companies by their aliases in time proportional to the text, whatever the table's size.

    Words are compared folded; capitals must agree: a ticker must stand in capitals and the others must not be in
    lower case, so that 'a beacon of hope' is no parcel service. A weak alias (a ticker, or one everyday word) counts
    when the same company is named in full anywhere in the text, after a ``$`` or an exchange, or, for a word, in
    capitals in the middle of a sentence or with a cue of business close by. Chinese and Japanese names match
    anywhere, since nothing separates words there.
    """

    def __init__(self, companies: Iterable[Company], common: Container[str] | None = None) -> None:
        """``common``: everyday words, folded; without them every single word is taken for one."""
        self.companies = tuple(companies)
        self._common = common
        self._by_code = {company.code: company for company in self.companies}
        self._words: dict[str, list[tuple[tuple[str, ...], _Alias]]] = {}
        self._signs: dict[str, list[_Alias]] = {}
        for company in self.companies:
            for alias in dict.fromkeys((company.name, *company.aliases, company.code)):
                self._add(alias.strip(), company)
        for found in self._words.values():
            found.sort(key=lambda pair: -len(pair[0]))
        for signs in self._signs.values():
            signs.sort(key=lambda alias: -len(alias.text))

    def _add(self, text: str, company: Company) -> None:
        if _CJK.search(text):
            self._signs.setdefault(text[0], []).append(_Alias(text, company, weak=False))
            return
        words = tuple(word.group().casefold() for word in _WORD.finditer(text))
        if words:
            everyday = len(words) == 1 and (self._common is None or words[0] in self._common)
            weak = everyday or (_TICKER.fullmatch(text) is not None and len(words) == 1)
            self._words.setdefault(words[0], []).append((words, _Alias(text, company, weak)))

    def company(self, code: str) -> Company | None:
        """The company of that code."""
        return self._by_code.get(code)

    def find(self, text: str) -> list[Mention]:
        """Companies named in the text, in order of their first mention, each once."""
        hits = [*self._in_words(text), *self._in_signs(text)]
        named = {alias.company.code for alias, _, _ in hits if not alias.weak}
        found: dict[str, Mention] = {}
        for alias, start, end in sorted(hits, key=lambda hit: hit[1]):
            company = alias.company
            if company.code in found:
                continue
            if alias.weak and company.code not in named and not _supported(text, alias, start, end):
                continue
            found[company.code] = Mention(company.code, company.name, start, end, text[start:end])
        return list(found.values())

    def _in_words(self, text: str) -> list[tuple[_Alias, int, int]]:
        words = [(match.group(), match.start(), match.end()) for match in _WORD.finditer(text)]
        folded = [_stem(word) for word, _, _ in words]
        hits: list[tuple[_Alias, int, int]] = []
        at = 0
        while at < len(words):
            step = 1
            for wanted, alias in self._words.get(folded[at], ()):
                if tuple(folded[at : at + len(wanted)]) != wanted:
                    continue
                start = words[at][1]
                last, last_start, last_end = words[at + len(wanted) - 1]
                end = last_start + len(last) if _stem(last) == last.casefold() else last_end - 2
                if _capitals_agree(text[start:end], alias.text):
                    hits.append((alias, start, end))
                    step = len(wanted)
                    break
            at += step
        return hits

    def _in_signs(self, text: str) -> list[tuple[_Alias, int, int]]:
        hits: list[tuple[_Alias, int, int]] = []
        at = 0
        while self._signs and at < len(text):
            step = 1
            for alias in self._signs.get(text[at], ()):
                if text.startswith(alias.text, at):
                    hits.append((alias, at, at + len(alias.text)))
                    step = len(alias.text)
                    break
            at += step
        return hits


def _stem(word: str) -> str:
    """Folded, without the possessive."""
    folded = word.casefold()
    return folded[:-2] if folded.endswith(("'s", "\u2019s")) else folded


def _capitals_agree(found: str, alias: str) -> bool:
    if _TICKER.fullmatch(alias):
        return found == alias
    first = next((char for char in found if char.isalpha()), "")
    wanted = next((char for char in alias if char.isalpha()), "")
    return not first or first.isupper() or not wanted.isupper()


def _supported(text: str, alias: _Alias, start: int, end: int) -> bool:
    before, after = text[max(0, start - _CUE_REACH) : start], text[end : end + _CUE_REACH]
    if before.endswith("$") or re.search(r"\b(?:NYSE|NASDAQ|Nasdaq|LSE|HKEX|TSX|BSE|NSE|XETRA)\s*:\s*$", before):
        return True
    if _TICKER.fullmatch(alias.text):
        return before.endswith("(") and after.startswith(")") and bool(before[:-1].strip())
    if _CUES.search(before) or _CUES.search(after):
        return True
    inside = bool(re.search(r"[\w,;]['\"]?\s$", before))
    around = [word for word in re.findall(r"[^\W\d_]+", before + " " + after) if len(word) > 3]
    # In a headline that capitalises every word, capitals say nothing.
    return inside and sum(word[0].isupper() for word in around) * 2 < len(around)


def common_words() -> frozenset[str]:
    """Everyday English words: those that the shipped encoder's vocabulary holds in one piece."""
    from core.models.sources import resolve

    folder = resolve("minilm").path
    if (folder / "vocab.txt").is_file():
        pieces = (folder / "vocab.txt").read_text(encoding="utf-8").split()
    else:
        pieces = list(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])
    return frozenset(piece for piece in pieces if piece.isalpha())


def read_companies(path: Path) -> list[Company]:
    """An alias table: ``code,name,aliases`` (aliases with | between), or SEntFiN's ``Symbol,Entity`` list.

    Raises InputError naming file, row and column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error
    if not rows:
        raise InputError(f"{path}: there is no company in it; add rows below the header code,name,aliases.")
    header = set(rows[0])
    if {"code", "name"} <= header:
        return _plain(path, rows)
    if {"Symbol", "Entity"} <= header:
        return _sentfin(rows)
    raise InputError(f"{path}: the header must have code and name (and aliases), or Symbol and Entity.")


def _plain(path: Path, rows: Sequence[dict[str, Any]]) -> list[Company]:
    found: dict[str, Company] = {}
    for number, row in enumerate(rows, 2):
        code, name = (row["code"] or "").strip(), (row["name"] or "").strip()
        for column, value in (("code", code), ("name", name)):
            if not value:
                raise InputError(f"{path}, row {number}, column {column}: it is empty; fill it in.")
        if code in found:
            raise InputError(f"{path}, row {number}, column code: {code!r} is there twice; keep one.")
        aliases = tuple(part.strip() for part in (row.get("aliases") or "").split("|") if part.strip())
        found[code] = Company(
            code, name, aliases, (row.get("sector") or "").strip(), (row.get("country") or "").strip()
        )
    return list(found.values())


def _sentfin(rows: Sequence[dict[str, Any]]) -> list[Company]:
    found: dict[str, Company] = {}
    for row in rows:
        code = (row["Symbol"] or "").strip()
        names = [name.strip() for name in (row["Entity"] or "").split(",") if name.strip()]
        if code and names and code not in found:
            found[code] = Company(code, names[0].rstrip("."), tuple(names[1:]))
    return list(found.values())
