"""What the finance commands show a person."""

from collections.abc import Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def table(rows: Sequence[Sequence[Any]], head: Sequence[str]) -> str:
    """Columns side by side, each as wide as its widest cell."""
    cells = [[str("" if cell is None else cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def moment(text: str | None) -> str:
    """An ISO time to the minute."""
    return text[:16].replace("T", " ") if text else "never"


def sources(rows: Rows) -> str:
    """One line for each source."""
    if not rows:
        return "no sources yet"
    shown = [
        (r["id"], r["kind"], r["health"], r["articles"], moment(r["last_success"]), moment(r["next_check"]), r["error"])
        for r in rows
    ]
    return table(shown, ("source", "kind", "health", "articles", "last success", "next check", "error"))


def visits(rows: Rows) -> str:
    """One line for each visit."""
    if not rows:
        return "nothing is due"
    shown = [
        (r["source"], r["outcome"], r["items"], r["new"], r["updated"], r["duplicates"], r["requests"], r["reason"])
        for r in rows
    ]
    return table(shown, ("source", "outcome", "items", "new", "updated", "known", "requests", "reason"))


def tried(rows: Rows) -> str:
    """A test fetch: what came, and the first titles."""
    lines = []
    for r in rows:
        lines.append(f"{r['source']}: {r['outcome']} {r['reason']} ({r['items']} items, {r['requests']} requests)")
        lines += [f"  note: {note}" for note in r["notes"]] + [f"  {title}" for title in r["titles"]]
    return "\n".join(lines)


def run(result: Mapping[str, Any]) -> str:
    """One round of all stages."""
    moves = [f"  {m['rule']} on {m['subject']}: {m['from']} -> {m['to']}" for m in result["detected"]["transitions"]]
    sent = result["delivered"]
    head = (
        f"{result['visits']} visits, {result['labelled']} articles labelled, {result['detected']['times']} times judged"
    )
    return "\n".join(
        [head, *moves, f"{sent['sent']} messages sent, {sent['failed']} failed, {sent['waiting']} waiting"]
    )


def alert_line(a: Mapping[str, Any]) -> str:
    """One alert in a line."""
    return f"{a['id']} [{a['severity']}] {a['rule']} on {a['subject']}: {a['status']}"


def alerts(rows: Rows) -> str:
    """One line for each alert."""
    if not rows:
        return "no alerts are open"
    shown = [
        (
            a["id"],
            a["severity"],
            a["status"],
            a["rule"],
            a["subject"],
            moment(a["started"]),
            a["assignee"],
            a["acknowledged_by"],
        )
        for a in rows
    ]
    return table(shown, ("alert", "severity", "status", "rule", "subject", "since", "owner", "seen by"))


def alert(a: Mapping[str, Any]) -> str:
    """One alert with its evidence and all that happened."""
    lines = [
        alert_line(a),
        a["reason"] or "",
        f"since {moment(a['started'])}, peak {moment(a['peak'])} ({a['score']:.3f})",
    ]
    lines += [f"- {title}" for title in a["evidence"]]
    lines += [f"{moment(e['at'])}  {e['kind']:<13} {e['actor']}  {_detail(e['detail'])}" for e in a["trail"]]
    lines += [
        f"{moment(m['created'])}  to {m['receiver']}: {m['kind']}, "
        + (f"delivered {moment(m['delivered'])}" if m["delivered"] else f"waiting ({m['error'] or 'not tried yet'})")
        for m in a["messages"]
    ]
    return "\n".join(line for line in lines if line)


def _detail(detail: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in detail.items() if value not in ("", None, [], 0.0))


def silences(rows: Rows) -> str:
    """One line for each silence."""
    if not rows:
        return "no silences"

    def condition(m: Mapping[str, Any]) -> str:
        return f"{m['label']}{'~' if m['regex'] else '='}{m['value']}"

    shown = [
        (s["id"], " ".join(condition(m) for m in s["matchers"]), moment(s["ends"]), s["author"], s["comment"])
        for s in rows
    ]
    return table(shown, ("silence", "conditions", "ends", "author", "comment"))


def scores(rows: Rows) -> str:
    """One line for each text."""
    lines = []
    for r in rows:
        companies = ", ".join(f"{c['code']} {c['sentiment']}" for c in r.get("companies", ()))
        best = max(r["probabilities"].values())
        lines.append(f"{r['sentiment']} {best:.3f}  {r.get('topic') or '-'}  {companies or '-'}  {r['text']}")
    return "\n".join(lines)


def trend(rows: Rows) -> str:
    """One line for each step in which there was a story."""
    shown = [
        (r["subject"], moment(r["time"]), r["stories"], r["negatives"], r["negative_share"], r["mean_score"])
        for r in rows
        if r["stories"]
    ]
    return (
        table(shown, ("subject", "from", "stories", "negative", "share", "score"))
        if shown
        else "no stories in that time"
    )


def replayed(result: Mapping[str, Any]) -> str:
    """The alerts that would have been raised."""
    head = f"{result['articles']} articles, {result['stories']} stories, {result['alerts_per_week']:.2f} alerts a week"
    shown = [(a["rule"], a["topic"], moment(a["start"]), moment(a["peak"]), a["severity"]) for a in result["alerts"]]
    return f"{head}\n{table(shown, ('rule', 'subject', 'start', 'peak', 'severity'))}" if shown else head


def detected(result: Mapping[str, Any]) -> str:
    """How much of a series is unusual."""
    return ", ".join(f"{key}: {value}" for key, value in result.items() if not isinstance(value, list | dict))
