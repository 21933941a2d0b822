"""What a small language model is worth to the support bot, as Markdown, from results/generation.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import store
from benchmarks.generation import CHECKED, QUOTED, TUNED, UNTUNED
from benchmarks.generation_data import WAYS
from benchmarks.markdown import UNMEASURED, origin, reason, table

NEEDED = 0.95  # of the replies must say nothing else than what they rest on, for them to go out unchecked
ALONE, SHOWN = WAYS
SYSTEMS = ((ALONE, UNTUNED), (ALONE, TUNED), (SHOWN, QUOTED), (SHOWN, UNTUNED), (SHOWN, TUNED))
Parts = Mapping[str, Mapping[str, Any]]


def generation_table(results: Path) -> str:
    """Every system, what tuning changes, and in words what follows for the support bot."""
    parts: Parts = store.read(results / "generation.json").get("parts", {})
    measured = {name: part for name, part in parts.items() if "metrics" in part}
    if not measured:
        return f"generation: {reason(parts.values())}."
    rows = [_row(parts, way, system) for way, system in SYSTEMS]
    checked = parts.get("compared", {}).get("systems", {}).get(f"{SHOWN}/{CHECKED}")
    if checked:
        rows.append([f"{SHOWN}: {CHECKED}", *_scores(checked), "all", "–", "–", "–"])
    head = ["replies of SmolLM2-135M", "chrF [95%]", "ROUGE-L [95%]", "accepted by the bot's check [95%]"]
    head += ["word for word", "ms a reply", "chrF, tuned − untuned [95%]"]
    return "\n\n".join([table(head, rows), f"{_note(measured)} {origin(parts.values(), 'generation')}", verdict(parts)])


def verdict(parts: Parts) -> str:
    """What the figures allow the model to be used for, and why; nothing of it stands here already."""
    alone, shown, quoted = (parts.get(f"{way}/{name}") for way, name in (SYSTEMS[1], SYSTEMS[4], SYSTEMS[2]))
    differences = parts.get("compared", {}).get("differences", {})
    gain = differences.get(f"{SHOWN}/{CHECKED} - {QUOTED}")
    if not (gain and alone and shown and quoted) or not all("metrics" in p for p in (alone, shown, quoted)):
        return f"What follows: {UNMEASURED}."
    said, uses = [], []
    for what, part in (("Alone", alone), ("With the passage", shown)):
        enough, words = _enough(part["metrics"]["accepted"])
        said.append(f"{what}, {words}.")
        uses += [f"replies {what.lower()}, unchecked"] if enough else []
    nearer = gain["chrf"]["difference"]
    said.append(f"Behind the check, {_nearer(nearer)}, for {shown['ms'] - quoted['ms']:,.0f} ms more a reply.")
    uses += ["rephrasing quotes behind the check"] if nearer["low"] > 0 else []
    for what, way in (("written alone", ALONE), ("written with the passage", SHOWN)):
        change = differences.get(f"{way}/{TUNED} - {UNTUNED}")
        if change:
            said.append(
                f"Tuning changes the accepted share of replies {what} by {_points(change['accepted']['difference'])}."
            )
    fit = "; ".join(uses) or "nothing"
    beside = "" if nearer["low"] > 0 else " Quoting, which needs no such model, is not shown to be worse."
    return f"{' '.join(said)} **Good enough for: {fit}.**{beside}"


def _enough(share: Mapping[str, float]) -> tuple[bool, str]:
    """Whether the share is shown to be high enough to trust replies nobody checks, and how to say so."""
    shown = f"{share['value']:.0%} [{share['low']:.0%}, {share['high']:.0%}] of the tuned model's replies are accepted"
    if share["low"] >= NEEDED:
        return True, f"{shown}, as many as are needed ({NEEDED:.0%})"
    doubt = "fewer than" if share["high"] < NEEDED else "not shown to be"
    return False, f"{shown}, {doubt} the {NEEDED:.0%} needed"


def _nearer(gap: Mapping[str, float]) -> str:
    change = f"chrF {_points(gap)}"
    if gap["low"] > 0:
        return f"it comes nearer to the true answers than the quotes alone ({change})"
    if gap["high"] < 0:
        return f"it leads away from the true answers that the quotes alone give ({change})"
    return f"it is not shown to come nearer to the true answers than the quotes alone ({change})"


def _row(parts: Parts, way: str, system: str) -> list[str]:
    part = parts.get(f"{way}/{system}", {})
    if "metrics" not in part:
        return [f"{way}: {system}", reason([part]), *["–"] * 5]
    metrics = part["metrics"]
    change = parts.get("compared", {}).get("differences", {}).get(f"{way}/{TUNED} - {UNTUNED}")
    gap = _points(change["chrf"]["difference"]) if change and system == TUNED else "–"
    accepted = metrics["accepted"]
    share = f"{accepted['value']:.0%} [{accepted['low']:.0%}, {accepted['high']:.0%}]"
    word = f"{metrics['verbatim']['value']:.0%}"
    return [f"{way}: {system}", *_scores(metrics), share, word, f"{part['ms']:,.0f}", gap]


def _scores(metrics: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [f"{m['value']:.3f} [{m['low']:.3f}, {m['high']:.3f}]" for m in (metrics["chrf"], metrics["rouge_l"])]


def _points(gap: Mapping[str, float]) -> str:
    return f"{gap['value'] * 100:+.1f} [{gap['low'] * 100:+.1f}, {gap['high'] * 100:+.1f}] points"


def _note(measured: Parts) -> str:
    """What was asked, of what, and how it was judged."""
    asked = sorted({part["rows"]["test"] for part in measured.values()})
    right = next(part["passage_right"] for part in measured.values())
    trained = [
        f"{way}: {p['rows']['train']} pairs, {p['tuning']['epochs']:g} epoch(s), {p['tuning']['minutes']:.0f} minutes"
        for way in WAYS
        if "tuning" in (p := measured.get(f"{way}/{TUNED}", {}))
    ]
    cut = {name: part["cut"] for name, part in measured.items() if part.get("cut")}
    return (
        f"BankFAQs, {', '.join(map(str, asked))} held-out questions; means over replies. Alone (closed book), a reply "
        "must stand in the true answer to be accepted; else in the passage shown, which retrieval found first"
        f" (of the true answer: {right:.0%}). The check is strict: what is right in other words is refused, too. LoRA –"
        f" {'; '.join(trained) or UNMEASURED}."
        f"{' Cut at the limit: ' + ', '.join(f'{n} {c:.0%}' for n, c in cut.items()) + '.' if cut else ''}"
    )
