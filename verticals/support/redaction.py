"""Personal data out of customer texts, before anything is stored: e-mail, phone, card, IBAN, names people sign with.

A find is replaced by its kind in square brackets. Cards and IBANs are checked by their check digits (ISO/IEC 7812,
ISO 13616), and also taken when they fail them but the words around say what they are: people mistype.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["email", "phone", "card", "iban", "name"]
# The order of trust: a span that two kinds claim goes to the first.
_ORDER: tuple[Kind, ...] = ("email", "iban", "card", "phone", "name")

_AT = r"\s*(?:@|\(at\)|\[at\]|\{at\})\s*"
_DOT = r"(?:\.|\s*(?:\(dot\)|\[dot\]|\{dot\})\s*)"
# From the beginning of a word and no longer than RFC 5321 allows: else a long run of letters costs its square in time.
_LOCAL = r"(?<![A-Za-z0-9À-ɏ_])[A-Za-z0-9À-ɏ_][A-Za-z0-9À-ɏ_.+%'-]{0,63}"
_EMAIL = re.compile(
    rf"{_LOCAL}{_AT}(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?{_DOT})+[a-z]{{2,24}}(?![a-z0-9])|"
    rf"{_LOCAL} at (?:[a-z0-9-]+ dot )+[a-z]{{2,24}}(?![a-z0-9])",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"(?<![\w.,])\d(?:[ \-.\u00a0]?\d){11,18}(?!\w)(?![.,]\d)")
_CARD_WORDS = re.compile(r"\b(?:card|visa|master ?card|amex|maestro|pan|debit|credit)\b|卡", re.IGNORECASE)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:[ \-\u00a0]?[A-Z0-9]){11,30}(?![A-Z0-9])", re.IGNORECASE)
_IBAN_GROUPS = re.compile(
    r"[A-Z]{2}\d{2}[ \-\u00a0]?[A-Z0-9]{4}(?:[ \-\u00a0]?(?=[A-Z]*\d)[A-Z0-9]{1,4})+", re.IGNORECASE
)
_GAP = re.compile(r"[ \-\u00a0]")
_IBAN_WORDS = re.compile(r"\biban\b|\baccount\b|账号|账户", re.IGNORECASE)
_PHONE_WORDS = re.compile(
    r"\b(?:call|phone|mobile|cell|tel|telephone|number|ring|text|sms|whatsapp|reach|fax)\b|电话|手机|微信|号码",
    re.IGNORECASE,
)
_PHONE_LIKE = re.compile(r"(?<![\w.,/#])(?:\+|00)?\(?\d(?:[ \-./()\u00a0]{0,2}\d){6,14}(?![\w%])(?![.,]\d)")
_MONEY = re.compile(r"[$€£¥]\s*$|\b(?:usd|eur|gbp|cny|rmb)\s*$", re.IGNORECASE)
_DATE = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{2,4}")
# With a country code, with a trunk zero, as in North America, a Chinese mobile.
_PHONE_SHAPES = re.compile(
    r"\(?(?:\+|00)\D*(?:\d\D*){8,15}|\(?0\D*(?:\d\D*){8,11}|\(?[2-9]\d{2}\)?[-. ][2-9]\d{2}[-. ]\d{4}|"
    r"1[3-9]\d[- ]?\d{4}[- ]?\d{4}"
)
_REGIONS = ("GB", "US", "CN", "IN")

_NAME = r"[A-ZÀ-ÖØ-Þ][\w'’-]+(?:[ \t]+(?:(?:van|von|de|da|del|bin|al|la|le)[ \t]+)*[A-ZÀ-ÖØ-Þ][\w'’-]+){0,2}"
_INTRODUCED = re.compile(
    rf"(?i:\b(?:my(?: full)? name(?: is|'s|:)|(?:this is|it's|it is)(?= [A-ZÀ-ÖØ-Þ][\w'’-]+ (?:here|speaking)\b)"
    rf"|(?:hi|hello|hey|good (?:morning|afternoon|evening))[,.! ]+(?:this is|i am|i'm|it's)"
    rf"|(?:mr|mrs|ms|miss|mx|dr)\.?"
    rf"|dear(?:[ \t]+(?:mr|mrs|ms|miss|mx|dr)\.?)?(?! (?:sir|madam|team|all|support|bank|customer)\b)))[ \t]+({_NAME})"
)
_SPEAKING = re.compile(rf"\b({_NAME})(?= (?:here|speaking)\b)")
_SIGNED = re.compile(
    rf"(?i:\b(?:regards|best wishes|sincerely|cheers|thanks|thank you|many thanks|yours)\b)"
    rf"[,.!\-– \t]*\n?[ \t]*({_NAME})\s*[.!]?\s*$"
)
_CHINESE_NAME = re.compile(
    r"(?:我叫|我的名字(?:是|叫)|我姓名(?:是|为)|本人姓名[:：]?|姓名[:：])\s*([\u4e00-\u9fff·]{2,4})(?![\u4e00-\u9fff])"
)
_CHINESE_TITLE = re.compile(r"(?:尊敬的|亲爱的)?([\u4e00-\u9fff]{1,3})(?=先生|女士|小姐)")
_NOT_NAMES = {
    "I", "The", "My", "Your", "Bank", "Support", "Team", "Customer", "Sir", "Madam", "Hello", "Hi", "Hey", "There",
    "Everyone", "All", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "Visa",
    "Mastercard", "Apple", "Google", "Pay", "In", "For", "And", "Again", "Bye", "Please", "Help", "Urgent", "Agent",
}  # fmt: skip


@dataclass(frozen=True)
class Find:
    """Personal data at ``text[start:end]``."""

    kind: Kind
    start: int
    end: int


@dataclass(frozen=True)
class Redacted:
    """A text without what was found; positions are those of the text before."""

    text: str
    finds: tuple[Find, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many of each kind."""
        kinds = [find.kind for find in self.finds]
        return {kind: kinds.count(kind) for kind in _ORDER if kind in kinds}


def redact(text: str) -> Redacted:
    """Replace personal data by ``[email]``, ``[phone]``, ``[card]``, ``[iban]`` or ``[name]``.

    Redacting a redacted text changes nothing.
    """
    finds = find(text)
    pieces, at = [], 0
    for found in finds:
        pieces += [text[at : found.start], f"[{found.kind}]"]
        at = found.end
    return Redacted("".join([*pieces, text[at:]]), finds)


def find(text: str) -> tuple[Find, ...]:
    """Personal data in the text, in reading order, never overlapping."""
    plain = _plain(text)
    taken: list[Find] = []
    for found in [*_emails(plain), *_ibans(plain), *_cards(plain), *_phones(plain), *_names(plain)]:
        if all(found.end <= other.start or found.start >= other.end for other in taken):
            taken.append(found)
    return tuple(sorted(taken, key=lambda found: found.start))


def _plain(text: str) -> str:
    """Full-width digits, letters and signs as ASCII, one character for one, so that positions stay."""
    forms = (unicodedata.normalize("NFKC", c) for c in text)
    return "".join(form if len(form) == 1 else c for form, c in zip(forms, text, strict=True))


def _emails(text: str) -> Iterator[Find]:
    for match in _EMAIL.finditer(text):
        yield Find("email", match.start(), match.end())


def _ibans(text: str) -> Iterator[Find]:
    from stdnum import iban

    for match in _IBAN.finditer(text):
        # Spaces may stand inside an IBAN, so the match can hold words behind it: the longest valid part counts.
        ends = [match.end(), *(match.start() + gap.start() for gap in reversed([*_GAP.finditer(match[0])]))]
        valid = (
            end for end in ends if iban.is_valid(_GAP.sub("", text[match.start() : end]).upper(), check_country=False)
        )
        end = next(valid, None)
        if end is None and _near(text, match.start(), _IBAN_WORDS) and (groups := _IBAN_GROUPS.match(match[0])):
            end = match.start() + groups.end()
        if end is not None:
            yield Find("iban", match.start(), end)


def _cards(text: str) -> Iterator[Find]:
    from stdnum import luhn

    for match in _DIGITS.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if 13 <= len(digits) <= 19 and (luhn.is_valid(digits) or _near(text, match.start(), _CARD_WORDS)):
            yield Find("card", match.start(), match.end())


def _phones(text: str) -> Iterator[Find]:
    for match in _PHONE_LIKE.finditer(text):
        if _MONEY.search(text[: match.start()]) or _DATE.fullmatch(match[0]):
            continue
        shaped = _PHONE_SHAPES.fullmatch(match[0]) or _near(text, match.start(), _PHONE_WORDS)
        if shaped or any(_dialable(match[0], region) for region in _REGIONS):
            opened = match[0].startswith("(") and ")" not in match[0]
            yield Find("phone", match.start() + opened, match.end())


def _dialable(text: str, region: str) -> bool:
    from phonenumbers import NumberParseException, is_valid_number, parse

    if not 10 <= len(re.sub(r"\D", "", text)) <= 12:  # shorter and longer runs are mostly amounts and references
        return False
    try:
        return is_valid_number(parse(text, region))
    except NumberParseException:
        return False


def _names(text: str) -> Iterator[Find]:
    for pattern in (_INTRODUCED, _SPEAKING, _SIGNED, _CHINESE_NAME, _CHINESE_TITLE):
        for match in pattern.finditer(text):
            words = match[1].split()
            kept = len(match[1])
            while words and words[-1] in _NOT_NAMES:
                kept -= len(words.pop()) + (1 if words else 0)
            if words and words[0] not in _NOT_NAMES:
                yield Find("name", match.start(1), match.start(1) + kept)


def _near(text: str, start: int, words: re.Pattern[str], reach: int = 40) -> bool:
    return bool(words.search(text[max(0, start - reach) : start]))
