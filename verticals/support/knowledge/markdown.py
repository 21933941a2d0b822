"""Markdown with optional TOML front matter between ``+++`` lines."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import InputError
from verticals.support.knowledge.documents import Parsed, Writer

_FRONT = re.compile(r"\A\ufeff?\+\+\+[ \t]*\r?\n(.*?)\r?\n\+\+\+[ \t]*(?:\r?\n|\Z)", re.DOTALL)


def parse_markdown(text: str) -> Parsed:
    """Headings make sections; list items and table rows are lines; markup, images and comments go.

    Front matter keys: id, title, language, groups, updated. Raises InputError for front matter that is no TOML.
    """
    about: dict[str, Any] = {}
    front = _FRONT.match(text)
    if front:
        try:
            about = tomllib.loads(front[1])
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"the front matter is not valid TOML: {error}") from error
        text = text[front.end() :]
    writer = Writer()
    _write(writer, _tokens(text))
    return writer.done(**_about(about, writer.first_heading))


def _about(about: Mapping[str, Any], heading: str) -> dict[str, Any]:
    groups = about.get("groups")
    if groups is not None and not (isinstance(groups, list) and groups and all(isinstance(g, str) for g in groups)):
        raise InputError(f"groups = {groups!r} must be a list of names")
    named = {key: str(about[key]) for key in ("id", "language", "updated") if about.get(key)}
    return {"title": str(about.get("title") or heading), "groups": tuple(groups) if groups else None, **named}


def _tokens(text: str) -> Sequence[Any]:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)


def _write(writer: Writer, tokens: Sequence[Any]) -> None:
    from verticals.support.knowledge.html import html_blocks

    header: list[str] = []
    row: list[str] = []
    place = ""
    for token in tokens:
        if token.type in ("heading_open", "th_open", "td_open"):
            place = token.type.removesuffix("_open")
        elif token.type in ("heading_close", "th_close", "td_close"):
            place = ""
        elif token.type == "tr_open":
            row = []
        elif token.type == "tr_close":
            if header:
                writer.block(table_row(header, row))
            header = header or row
        elif token.type == "table_close":
            header = []
        elif token.type == "inline":
            text = _inline(token.children or [])
            if place == "heading":
                writer.heading(text)
            elif place in ("th", "td"):
                row.append(text)
            else:
                writer.block(text)
        elif token.type in ("fence", "code_block"):
            for line in token.content.splitlines():
                writer.block(line)
        elif token.type == "html_block":
            for heading, line in html_blocks(token.content):
                writer.heading(line) if heading else writer.block(line)


def _inline(tokens: Sequence[Any]) -> str:
    parts = {"softbreak": " ", "hardbreak": " "}
    return "".join(
        parts.get(token.type, token.content if token.type in ("text", "code_inline") else "") for token in tokens
    )


def table_row(header: Sequence[str], row: Sequence[str]) -> str:
    """A table's row as a sentence of its own: ``first: column: value; column: value.``"""
    if len(row) < 2:
        return ". ".join(cell for cell in row if cell)
    pairs = [f"{name}: {cell}" if name else cell for name, cell in zip(header[1:], row[1:], strict=False) if cell]
    return f"{row[0]} – {'; '.join(pairs)}." if pairs else row[0]
