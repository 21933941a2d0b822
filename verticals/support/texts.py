"""The few sentences that the bot says by itself, in the customer's language."""

import re

_CJK = re.compile(r"[\u3400-\u9fff]")

_TEXTS = {
    "handoff": {
        "en": "I am not sure enough to answer this. I am passing it to a colleague, with everything said so far.",
        "zh": "这个问题我没有把握回答。我会把它连同到目前为止的对话转给同事处理。",
    },
    "clarify": {"en": "Which of these do you mean?", "zh": "您指的是下面哪一种情况？"},
}


def says(key: str, question: str) -> str:
    """One of the texts, in Chinese for a question with Chinese characters, else in English."""
    return _TEXTS[key]["zh" if _CJK.search(question) else "en"]
