"""Bytes to text when the label may be wrong or missing."""

import codecs
import re
from itertools import chain

# What the label is taken to mean; the web's practice (encoding.spec.whatwg.org): each is a superset.
_SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "tis-620": "cp874",
}
# Every byte, or nearly, means something in these, so that decoding without an error proves nothing.
_SINGLE_BYTE = re.compile(r"cp125\d|cp874|iso8859-\d+|koi8-[ru]|mac-\w+")
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_DECLARED = re.compile(
    rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})"""
    rb"""|<meta[^>]{0,400}?charset\s*=\s*["']?\s*([A-Za-z0-9._:-]{1,40})""",
    re.IGNORECASE,
)
_DECLARED_WITHIN = 4096
# The web's charsets. Among all that Python knows, a few bytes beyond ASCII would often look like an old Macintosh's.
_GUESSES = [
    *("utf_8", "gb18030", "big5hkscs", "cp932", "euc_jp", "cp949", "koi8_r", "cp874", "cp1250", "cp1251", "cp1252"),
    *("cp1253", "cp1254", "cp1255", "cp1256", "cp1257"),
]
_GUESS_FROM = 200_000  # bytes shown to charset-normalizer, whose time grows with them


def known(label: str | None) -> str | None:
    """Python's name of the encoding that a label stands for, or None."""
    if not label:
        return None
    try:
        name = codecs.lookup(label.strip().strip("\"'")).name
        b"a".decode(name, "replace")  # codecs such as rot13, zlib or idna are registered too but are no charsets
    except (LookupError, ValueError):
        return None
    return _SUPERSETS.get(name, name)


def declared(body: bytes) -> str | None:
    """The label inside an XML declaration or an HTML meta element near the start."""
    match = _DECLARED.search(body[:_DECLARED_WITHIN])
    return (match[1] or match[2]).decode("ascii") if match else None


def decode(body: bytes, header: str | None = None) -> str:
    """Text of a body: by byte order mark, header, declaration, then by what the bytes look like.

    A label is believed only if the bytes decode under it. Where a label names a single-byte charset, under which
    anything decodes, bytes that are valid UTF-8 with characters beyond ASCII are taken as UTF-8. Never raises.
    """
    for mark, name in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, errors="replace")
    labels = [name for name in (known(header), known(declared(body))) if name is not None]
    if body.isascii() and not any(name.startswith(("utf-16", "utf-32", "utf-7", "iso2022", "hz")) for name in labels):
        return body.decode("ascii")
    weak = [name for name in labels if _SINGLE_BYTE.fullmatch(name)]
    strong = [name for name in labels if name not in weak and not name.startswith("utf-16")]
    # A document whose declaration could be read as ASCII is not UTF-16, whatever it says; a header may still be right.
    wide = [name for name in labels[:1] if name.startswith("utf-16") and b"\x00" in body[:64]]
    for name in chain(wide, strong, ["utf-8"], weak):
        try:
            return body.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
    return _guess(body, labels)


def _guess(body: bytes, labels: list[str]) -> str:
    # Mostly fine UTF-8 with a few bad bytes (a cut-off character, one pasted line) is better mended than guessed.
    mended = body.decode("utf-8", errors="replace")
    if "utf-8" in labels and mended.count("\ufffd") * 50 <= sum(1 for c in mended if ord(c) > 127):
        return mended
    import charset_normalizer

    found = charset_normalizer.from_bytes(body[:_GUESS_FROM], cp_isolation=_GUESSES).best()
    name = found.encoding if found is not None else next(iter(labels), "utf-8")
    return body.decode(name, errors="replace")
