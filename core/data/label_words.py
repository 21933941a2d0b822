"""Labels put into words, for models that read what a label is called."""

from collections.abc import Mapping


def describe(label: str, descriptions: Mapping[str, str]) -> str:
    """A label in words: its description, or its name without underscores and the like."""
    return descriptions.get(label) or " ".join(label.replace("_", " ").replace("-", " ").split()) or label
