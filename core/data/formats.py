"""The formats that can be read: rows of a table. Adding a format is adding an entry."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from core.data.official import looks_like_phrasebank, read_clinc150, read_phrasebank
from core.data.plain import read_csv, read_jsonl, read_parquet, read_tsv, read_tsv_unquoted
from core.data.sentfin import SENTIMENTS, read_entities, read_titles
from core.data.sources import Columns, Source
from core.data.table import Reader
from core.errors import InputError

# In the order of the data set's classes.txt: the integer in the file is the position here.
FINANCE_TOPICS = (
    "Analyst Update",
    "Fed | Central Banks",
    "Company | Product News",
    "Treasuries | Corporate Debt",
    "Dividend",
    "Earnings",
    "Energy | Oil",
    "Financials",
    "Currencies",
    "General News | Opinion",
    "Gold | Metals | Materials",
    "IPO",
    "Legal | Regulation",
    "M&A | Investments",
    "Macro",
    "Markets",
    "Politics",
    "Personnel Change",
    "Stock Commentary",
    "Stock Movement",
)


def _same(names: tuple[str, ...]) -> Mapping[str, str]:
    return MappingProxyType({name: name for name in names})


def _coded(*names: str) -> Mapping[str, str]:
    return MappingProxyType({str(code): name for code, name in enumerate(names)})


@dataclass(frozen=True)
class Format:
    """How one kind of file is read.

    ``columns`` is fixed for official data sets and None for plain tables, whose columns the recipe names.
    ``labels`` maps what the file writes to the label's name; a label outside it is refused.
    """

    name: str
    read: Reader
    description: str
    extensions: tuple[str, ...] = ()
    columns: Columns | None = None
    labels: Mapping[str, str] | None = field(default=None, hash=False)
    licence: str | None = None


_ALL = (
    Format("csv", read_csv, "comma-separated, RFC 4180; `;`, tab and `|` are found from the header", (".csv",)),
    Format("tsv", read_tsv, "tab-separated", (".tsv", ".tab")),
    Format("jsonl", read_jsonl, "one JSON object per line", (".jsonl", ".ndjson")),
    Format("parquet", read_parquet, "Apache Parquet", (".parquet", ".pq")),
    Format(
        "phrasebank",
        read_phrasebank,
        "Financial PhraseBank: sentence@label",
        columns=Columns(),
        labels=_same(SENTIMENTS),
        licence="CC BY-NC-SA 3.0",
    ),
    Format(
        "banking77",
        read_csv,
        "BANKING77: customer questions, 77 intents (text,category)",
        columns=Columns(label="category"),
        licence="CC BY 4.0",
    ),
    Format(
        "clinc150",
        read_clinc150,
        "CLINC150 data_full.json; split = train, val, test, oos_train, oos_val, oos_test, or joined by +",
        columns=Columns(),
        licence="CC BY 3.0",
    ),
    Format(
        "sentfin",
        read_titles,
        "SEntFiN by headline: the sentiment all its entities share; headlines with mixed ones are dropped",
        columns=Columns(),
        labels=_same(SENTIMENTS),
        licence="MIT",
    ),
    Format(
        "sentfin-entities",
        read_entities,
        "SEntFiN by headline and entity (text_pair), grouped by headline",
        columns=Columns(text_pair="entity", group="title"),
        labels=_same(SENTIMENTS),
        licence="MIT",
    ),
    Format(
        "sst2",
        read_tsv_unquoted,
        "SST-2: film reviews, 0 negative, 1 positive (sentence, label)",
        columns=Columns(text="sentence"),
        labels=_coded("negative", "positive"),
        licence="research use",
    ),
    Format(
        "twitter_fin_topic",
        read_csv,
        "Twitter financial news topics: 20 topics by number (text,label)",
        columns=Columns(),
        labels=_coded(*FINANCE_TOPICS),
        licence="MIT",
    ),
    Format(
        "twitter_fin_sentiment",
        read_csv,
        "Twitter financial news sentiment: 0 bearish (negative), 1 bullish (positive), 2 neutral",
        columns=Columns(),
        labels=_coded("negative", "positive", "neutral"),
        licence="MIT",
    ),
    Format(
        "chnsenticorp",
        read_tsv_unquoted,
        "ChnSentiCorp: Chinese reviews, 0 negative, 1 positive (label, text_a)",
        columns=Columns(text="text_a"),
        labels=_coded("negative", "positive"),
        licence="unknown",
    ),
)

FORMATS: Mapping[str, Format] = MappingProxyType({format.name: format for format in _ALL})


def find_format(source: Source) -> Format:
    """The format a source names, or for ``auto`` that of its extension; InputError lists the known ones."""
    if source.format != "auto":
        if source.format in FORMATS:
            return FORMATS[source.format]
        raise InputError(f"{source.path}: format {source.format!r} is not known; use auto or {_known()}.")
    extension = source.path.suffix.lower()
    for format in FORMATS.values():
        if extension in format.extensions:
            return format
    if extension == ".txt" and looks_like_phrasebank(source):
        raise InputError(f'{source.path} looks like Financial PhraseBank; set format = "phrasebank" to read it so.')
    raise InputError(
        f"{source.path}: the extension {extension or '(none)'} does not tell the format; set format to {_known()}."
    )


def _known() -> str:
    return ", ".join(FORMATS)
