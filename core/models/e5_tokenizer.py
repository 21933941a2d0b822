"""The tokenizer of multilingual-e5-small: XLM-R's unigram model, rebuilt from what the file carries."""

from typing import TYPE_CHECKING

from core.errors import InputError
from core.models.e5 import E5File

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Normalizer

_SPACE_MARK = "\u2581"
_NONCHARACTERS = [chr(code) for code in range(0xFDD0, 0xFDF0)]  # never in valid text, free for internal use
_CODE_POINTS = [*range(1, 0xD800), *range(0xE000, 0x110000)]


def build(file: E5File) -> "Tokenizer":
    """A `tokenizers` pipeline whose ids are those of the file's own pieces.

    Unigram segmentation after Kudo (2018). Two things follow XLM-R's own tokenizer rather than the packaged
    engine: a letter followed by its combining accent is composed first, and a run of unknown characters is
    one unknown token.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.Unigram(file.pieces, unk_id=file.unk, byte_fallback=False))
    collapse = normalizers.Replace(_regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([*_character_rules(file.rewrites), collapse])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(_SPACE_MARK, prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(_SPACE_MARK, prepend_scheme="always")
    bos, eos = file.pieces[file.bos][0], file.pieces[file.eos][0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B:0 {eos}:0",  # XLM-R has one segment only, hence type 0 throughout
        special_tokens=[(bos, file.bos), (eos, file.eos)],
    )
    ids = (file.bos, file.pad, file.eos, file.unk)
    tokenizer.add_special_tokens([AddedToken(file.pieces[i][0], special=True) for i in ids])
    # The mask swallows the space before it, so that "a <mask>" has no stray space mark.
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    return tokenizer


def _character_rules(rewrites: dict[str, str]) -> list["Normalizer"]:
    """The character table as a few rules: Unicode NFKC, and what the table does otherwise.

    One rule per entry would be exact too, but thousands of passes over every text.
    """
    from tokenizers import normalizers

    nfkc = normalizers.NFKC()
    replaced: dict[str, list[str]] = {}
    kept: list[str] = []
    every = list(map(chr, _CODE_POINTS))
    # One call for all of them; NUL, which is not among them, neither composes nor changes.
    for character, normal in zip(every, nfkc.normalize_str("\0".join(every)).split("\0"), strict=True):
        wanted = rewrites.get(character, character)
        if normal == wanted:
            continue
        if nfkc.normalize_str(wanted) == wanted:
            replaced.setdefault(wanted, []).append(character)
        elif wanted == character:
            kept.append(character)
        else:
            raise InputError(f"the character table rewrites {character!r} to {wanted!r}, which no rule here can.")
    if len(kept) > len(_NONCHARACTERS):
        raise InputError(f"the character table keeps {len(kept)} characters that NFKC changes; it is not XLM-R's.")
    shelter = dict(zip(kept, _NONCHARACTERS, strict=False))
    before = [normalizers.Replace(_regex(_class(found)), wanted) for wanted, found in replaced.items()]
    before += [normalizers.Replace(character, mark) for character, mark in shelter.items()]
    after = [normalizers.Replace(mark, character) for character, mark in shelter.items()]
    return [*before, nfkc, *after]


def _class(characters: list[str]) -> str:
    return "[" + "".join(f"\\x{{{ord(c):x}}}" for c in characters) + "]"


def _regex(pattern: str):  # type: ignore[no-untyped-def]  # tokenizers.Regex, imported late
    from tokenizers import Regex

    return Regex(pattern)
