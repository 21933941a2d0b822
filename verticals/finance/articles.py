"""When are two items one article: canonical addresses, content fingerprints, and near-duplicate signatures."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from verticals.finance.fetching.canonical import canonical_url, is_specific
from verticals.finance.fetching.items import Item

if TYPE_CHECKING:
    import numpy as np

SHINGLE = 4  # characters: works for Chinese as for English, and on headlines as on whole texts
# Of 64. Among 4,000 headlines of a news archive all pairs this close shared more than 0.7 of their shingles, and pairs
# more than 12 bits apart hardly any.
NEAR_BITS = 8
WINDOW = timedelta(days=3)
SAME_MOMENT = timedelta(hours=1)

__all__ = [
    "Article",
    "Deduplicated",
    "Known",
    "KnownArticle",
    "canonical_url",
    "deduplicate",
    "distance",
    "fingerprint",
    "signature",
]


def normalise(text: str) -> str:
    """Letters and digits alone, folded: what remains when a text is retyped with other marks and spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", folded.replace("_", " ")))


def fingerprint(text: str) -> str:
    """32 hex digits that two texts share exactly when they are equal once normalised; empty for no text."""
    content = normalise(text)
    return hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=16).hexdigest() if content else ""


def signature(text: str) -> int:
    """64-bit SimHash of the character shingles, as a signed integer that a database can hold; 0 for no text.

    Charikar, "Similarity Estimation Techniques from Rounding Algorithms", STOC 2002. The share of equal bits grows
    with the cosine of the two texts' shingle counts.
    """
    import numpy as np

    points = np.frombuffer(normalise(text).encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.uint64)
    if points.size == 0:
        return 0
    points = np.pad(points, (0, max(0, SHINGLE - points.size)))
    windows = np.lib.stride_tricks.sliding_window_view(points, SHINGLE)
    hashes = np.zeros(len(windows), dtype=np.uint64)
    for column in range(SHINGLE):
        hashes = _mixed(hashes ^ windows[:, column])
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1)
    votes = bits.sum(axis=0, dtype=np.int64) * 2 - len(hashes)
    return int(np.packbits(votes > 0).view(np.int64)[0])


def _mixed(values: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """The splitmix64 finaliser (Steele, Lea, Flood, OOPSLA 2014), wrapping at 64 bits."""
    import numpy as np

    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def distance(one: int, other: int) -> int:
    """How many of the 64 bits of two signatures differ."""
    return ((one ^ other) & 0xFFFFFFFFFFFFFFFF).bit_count()


@dataclass(frozen=True)
class Article:
    """An item with what identifies it; ``key`` is its identity across polls."""

    key: str
    item: Item
    canonical: str | None
    title_print: str
    text_print: str
    signature: int  # of the title: what follows it is often boilerplate, and in a feed often missing
    near: str | None = None  # key of an earlier article with nearly the same title, of whatever source

    @classmethod
    def of(cls, item: Item, shared: frozenset[str] = frozenset()) -> "Article":
        """Identify an item: by its address, else by its source's id for it, else by its title and day.

        ``shared`` are canonical addresses that stand for several articles (a landing page) and identify none.
        """
        canonical = canonical_url(item.url) if item.url else None
        if canonical is not None and (canonical in shared or not is_specific(canonical)):
            canonical = None
        title_print = fingerprint(item.title)
        if canonical is not None:
            name = canonical
        elif item.guid:
            name = f"{item.source}\n{item.guid}"
        else:
            name = f"{item.source}\n{title_print or item.title}\n{item.time.date()}"
        key = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=16).hexdigest()
        return cls(key, item, canonical, title_print, fingerprint(item.text), signature(item.title))

    def known(self) -> "KnownArticle":
        """What later polls must remember of it."""
        item = self.item
        return KnownArticle(
            self.key,
            item.source,
            self.title_print,
            self.text_print,
            self.signature,
            item.time,
            item.published is not None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the item's included."""
        return {
            "key": self.key,
            "canonical": self.canonical,
            "title_print": self.title_print,
            "text_print": self.text_print,
            "signature": self.signature,
            "near": self.near,
            "item": self.item.to_dict(),
        }


@dataclass(frozen=True)
class KnownArticle:
    """What must be remembered of an article to recognise it again."""

    key: str
    source: str
    title_print: str
    text_print: str
    signature: int
    time: datetime
    dated: bool = True  # whether time is the source's own

    def differs(self, article: Article) -> bool:
        """Whether an item of this identity brings another title or text; one that comes without text does not."""
        return article.title_print != self.title_print or article.text_print not in ("", self.text_print)


@dataclass
class Known:
    """Articles already there, with the look-ups that deduplication needs; grows as new ones come."""

    near_bits: int = NEAR_BITS
    window: timedelta = WINDOW
    _by_key: dict[str, KnownArticle] = field(default_factory=dict)
    _by_title: dict[tuple[str, str], list[KnownArticle]] = field(default_factory=dict)
    _order: list[KnownArticle] = field(default_factory=list)
    _arrays: "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None" = None

    @classmethod
    def of(cls, articles: Iterable[KnownArticle], near_bits: int = NEAR_BITS, window: timedelta = WINDOW) -> "Known":
        """An index of what is stored."""
        known = cls(near_bits, window)
        for article in articles:
            known.add(article)
        return known

    def add(self, article: KnownArticle) -> None:
        """Remember an article, or its new state."""
        before = self._by_key.get(article.key)
        self._by_key[article.key] = article
        self._by_title.setdefault((article.source, article.title_print), []).append(article)
        if before is None or before.signature != article.signature:
            self._append(article)

    def _append(self, article: KnownArticle) -> None:
        import numpy as np

        size = len(self._order)
        if self._arrays is None:
            self._arrays = np.zeros(256, np.uint64), np.zeros(256, np.float64)
        elif size == len(self._arrays[0]):
            self._arrays = np.resize(self._arrays[0], size * 2), np.resize(self._arrays[1], size * 2)
        self._arrays[0][size] = np.int64(article.signature).view(np.uint64)
        self._arrays[1][size] = article.time.timestamp()
        self._order.append(article)

    def with_key(self, key: str) -> KnownArticle | None:
        """The article of this identity."""
        return self._by_key.get(key)

    def same_title(self, article: Article) -> KnownArticle | None:
        """An article of the same source, title and moment, whose text is not another one.

        Dates must agree, since a column's standing headline ('Markets this week') returns as a new article; where a
        date is missing, the window decides.
        """
        item, dated = article.item, article.item.published is not None
        for other in self._by_title.get((item.source, article.title_print), ()):
            apart = SAME_MOMENT if dated and other.dated else self.window
            same_text = not article.text_print or other.text_print in ("", article.text_print)
            if same_text and abs(other.time - item.time) <= apart:
                return other
        return None

    def near(self, one: int, time: datetime) -> KnownArticle | None:
        """The article within the window whose signature is closest, at most ``near_bits`` away."""
        import numpy as np

        if one == 0 or self._arrays is None:
            return None
        size = len(self._order)
        signatures, times = self._arrays[0][:size], self._arrays[1][:size]
        apart = np.bitwise_count(signatures ^ np.int64(one).view(np.uint64))
        apart[np.abs(times - time.timestamp()) > self.window.total_seconds()] = 64
        closest = int(np.argmin(apart))
        return self._order[closest] if apart[closest] <= self.near_bits else None


@dataclass(frozen=True)
class Deduplicated:
    """What of a batch is new, what has changed, and what was seen before."""

    new: tuple[Article, ...]
    updated: tuple[Article, ...]  # a known identity with another title or text: a correction, or text that came later
    duplicates: tuple[tuple[Item, str], ...]  # the item and the key of the article that it repeats

    def to_dict(self) -> dict[str, int]:
        """Counts for a report."""
        near = sum(article.near is not None for article in self.new)
        return {"new": len(self.new), "near": near, "updated": len(self.updated), "duplicates": len(self.duplicates)}


def deduplicate(items: Iterable[Item], known: Known) -> Deduplicated:
    """Sort items into new, updated and repeated ones and add the new ones to ``known``.

    The same address is the same article whatever its GUID became, and so is the same title of the same source and
    moment: a feed that changes its GUIDs adds nothing. Nearly the same title (of any source) stays an article of its
    own that points to the earlier one, because 'profit rises 2%' and 'profit falls 2%' are near too.
    """
    batch = list(items)
    shared = _shared(batch)
    new: dict[str, Article] = {}
    updated: dict[str, Article] = {}
    duplicates: list[tuple[Item, str]] = []
    for item in batch:
        article = Article.of(item, shared)
        before = known.with_key(article.key)
        if before is not None and not before.differs(article):
            duplicates.append((item, before.key))
            continue
        if before is None and article.title_print and (same := known.same_title(article)) is not None:
            duplicates.append((item, same.key))
            continue
        if before is not None:
            pile = new if article.key in new else updated
            near = pile[article.key].near if article.key in pile else None
        else:
            pile, close = new, known.near(article.signature, item.time)
            near = close.key if close is not None else None
        pile[article.key] = replace(article, near=near)
        known.add(article.known())
    return Deduplicated(tuple(new.values()), tuple(updated.values()), tuple(duplicates))


def _shared(batch: list[Item]) -> frozenset[str]:
    """Addresses that one batch gives to three or more items of different ids and titles: pages, not articles."""
    seen: dict[str, dict[str, str]] = {}
    for item in batch:
        if item.url and item.guid:
            seen.setdefault(canonical_url(item.url), {}).setdefault(normalise(item.title), item.guid)
    return frozenset(url for url, titles in seen.items() if len(set(titles.values())) > 2)
