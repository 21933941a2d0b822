"""Results of the commands as people read them."""

from typing import Any


def loaded(told: dict[str, Any]) -> str:
    """What was read, stored and found wanting."""
    lines = []
    for name in ("items", "events"):
        if name in told:
            lines.append(
                f"{told[name]['rows']} {name} read, {told[name]['added']} new; version {told[name]['version']}"
            )
            lines += [f"  {finding['message']}" for finding in told[name].get("findings", [])]
    lines += [f"  {finding['message']}" for finding in told.get("validation", {}).get("findings", [])]
    return "\n".join([*lines, *(["The events are synthetic."] if told.get("synthetic") else [])])


def trained(told: dict[str, Any]) -> str:
    """The new version and its weights."""
    weights = ", ".join(f"{name} {weight:.2f}" for name, weight in told["weights"].items() if weight > 0.005)
    return (
        f"version {told['version']}: {told['items']} items, {told['events']} events of {told['users']} users\n"
        f"ranker: {told['ranker']}\nweights: {weights}\n{told['path']}"
    )


def scored(told: dict[str, Any]) -> str:
    """The list with its reasons, one line an item."""
    lines = [f"for {told['user'] or 'nobody in particular'}, by {told['basis']} ({told['ranker']})", *told["notes"]]
    for row in told["candidates"]:
        chances = " ".join(f"{kind} {value:.1%}" for kind, value in row["probabilities"].items())
        lines.append(f"{row['rank']:4d}  {row['item']}  {row['score']:.3f}  {chances}  {row['title']}")
        reason = row["reason"]
        if reason:
            near = ", ".join(one["item"] for one in reason["closest"][:2])
            words = ", ".join(reason["words"][:4])
            parts = [f"near {near}" if near else "", f"words {words}" if words else "", *row["rules"]]
            lines.append("      " + "; ".join(part for part in parts if part))
    if told["rules"]:
        lines.append(f"rules: nDCG {told['rules']['ndcg']:.3f} of the order without them")
        lines += [f"  not met: {line}" for line in told["rules"]["unmet"]]
    return "\n".join(lines)


def neighbours(told: list[dict[str, Any]]) -> str:
    """One line an item."""
    return "\n".join(f"{row['score']:.3f}  {row['item']}  {row['title']}" for row in told)


def checked(told: dict[str, Any]) -> str:
    """One line a rule."""
    return "\n".join(f"{row['label']} ({row['kind']}): {row['items']} items" for row in told["rules"])


def judged(told: dict[str, Any]) -> str:
    """A table of systems and metrics, and the comparisons."""
    split = told["split"]
    names = ["ndcg@10", "recall@20", "mrr@10", "map"]
    lines = [f"{split['source']}: {split['test_events']} held-out events of {split['test_users']} users"]
    if split["synthetic"]:
        lines.append("The events are synthetic: figures tell that the machinery works, not how good it is.")
    lines.append(f"{'':24}" + "".join(f"{name:>24}" for name in names) + "  coverage@10")
    for system, values in told["systems"].items():
        cells = "".join(f"{_interval(values[name]):>24}" for name in names)
        lines.append(f"{system:24}{cells}  {values['coverage@10']:.3f}")
    for name, value in told["comparisons"].items():
        lines.append(f"{name}: nDCG@10 {_interval(value['difference'])}, p = {value['p_value']:.3f}")
    for system, value in told.get("impressions", {}).get("auc", {}).items():
        lines.append(f"AUC of what was shown, {system}: {_interval(value)}")
    return "\n".join(lines)


def _interval(value: dict[str, Any]) -> str:
    if value["low"] is None:
        return f"{value['value']:.4f}"
    return f"{value['value']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"
