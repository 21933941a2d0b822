"""Which messages say nothing that an answer could be learned from: greetings, thanks, passing on."""

import re

_CJK = re.compile(r"[\u3400-\u9fff]")
_MARK = re.compile(r"\[(?:name|email|phone|card|iban)\]")
_PHRASES = re.compile(
    r"\b(?:hi+|hello+|hey+|hiya|dear(?: (?:sir|madam|sir or madam|team|all|support))?"
    r"|good (?:morning|afternoon|evening|day)"
    r"|how are you|any(?:body|one) (?:there|here)|are you there|can you help(?: me)?|please help|help(?: me)?"
    r"|i have a question|quick question|thank(?:s| you)(?: (?:so|very) much| a lot)?(?: for [^.,!?]*)?"
    r"|many thanks|cheers|ta|thx"
    r"|all good(?: now)?|never ?mind|ok(?:ay)?|yes|no|sure|great|perfect|bye|goodbye|have a (?:nice|good) (?:day|one)"
    r"|you(?:'| a)re welcome|no problem|my pleasure|(?:kind|best|warm) regards|regards|best wishes|yours(?: sincerely)?"
    r"|sorry to keep you waiting|one moment(?: please)?|how can i help(?: you)?(?: today)?|please|is it|lol|haha)\b",
    re.IGNORECASE,
)
_CHINESE = re.compile(
    r"您好|你好|早上好|下午好|晚上好|在吗|有人吗|谢谢(?:您|你)?|好的|再见|不客气|请问|请稍等|麻烦(?:您|你)?了?"
)
_PASSED_ON = re.compile(
    r"\b(?:pass(?:ing|ed)? (?:it|this|you|your|that|the|him|her)|hand(?:ing|ed)? (?:it |this |you )?over|hand this"
    r"|let me (?:pass|ask|check|hand)|i (?:will|need to|have to|must|am) (?:ask|check|pass|asking|checking|having)"
    r"|a colleague|one for a colleague|connect(?:ing)? you|get back to you)\b|转给|转接|请同事",
    re.IGNORECASE,
)


def substance(text: str) -> int:
    """How many words (Chinese: characters, halved) are left once greetings and the like are taken out."""
    rest = _CHINESE.sub(" ", _PHRASES.sub(" ", _MARK.sub(" ", text)))
    characters = len(_CJK.findall(rest))
    return len(re.findall(r"[^\W\d_]{2,}", _CJK.sub(" ", rest))) + characters // 2


def is_small_talk(text: str) -> bool:
    """Whether fewer than two words carry a meaning."""
    return substance(text) < 2


def passes_on(text: str) -> bool:
    """Whether an agent only says that somebody else will answer."""
    return bool(_PASSED_ON.search(text))


def is_chinese(text: str) -> bool:
    """Whether a text has Chinese characters."""
    return bool(_CJK.search(text))
