"""``headwater support``: ingest, ask, chat, and the index's versions."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.cli import as_json, emit
from core.errors import InputError

if TYPE_CHECKING:
    from verticals.support.bot import Bot


class _Group(click.Group):
    """``mine`` is a file of its own, imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "mine"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "mine":
            from verticals.support.mine_command import mine

            return mine
        return super().get_command(ctx, cmd_name)


groups_option = click.option(
    "--group", "groups", multiple=True, help="Read as a member of this group; repeatable. Default: public."
)


@click.group(cls=_Group)
def support() -> None:
    """Answer customers' questions with sources, or hand over."""


@support.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("--group", "groups", multiple=True, help="Who may read it, before what the files say; repeatable.")
@as_json
def ingest(paths: tuple[str, ...], groups: tuple[str, ...], as_json: bool) -> None:
    """Read files, folders, addresses or lists of addresses (*.urls) into a new version of the index.

    Only what changed is read. A document that cannot be read is listed with the reason and stops nothing.
    """
    from verticals.support.opening import ingest_paths
    from verticals.support.settings import SupportSettings

    done = ingest_paths(list(paths), SupportSettings(), groups=groups or None)
    emit(done.to_dict(), as_json, _ingested)


def _ingested(result: dict[str, Any]) -> str:
    counts = ", ".join(f"{len(result[name])} {name}" for name in ("added", "changed", "removed"))
    lines = [f"{counts}, {result['unchanged']} unchanged", *(f"not read: {_failure(f)}" for f in result["failed"])]
    held = f"{result['documents']} documents in {result['passages']} passages"
    return "\n".join([*lines, f"index version {result['version']}: {held}"])


def _failure(failure: dict[str, Any]) -> str:
    kept = " (its earlier text stays)" if failure["kept"] else ""
    return f"{failure['source']}: {failure['reason']}{kept}"


@support.command()
@click.argument("text")
@groups_option
@click.option("--slot", "slots", multiple=True, metavar="NAME=VALUE", help="What a template may need to know.")
@as_json
def ask(text: str, groups: tuple[str, ...], slots: tuple[str, ...], as_json: bool) -> None:
    """Answer one question."""
    reply = _bot().reply(text, groups=groups or ("public",), slots=_slots(slots))
    emit(reply.to_dict(), as_json, show_reply)


@support.command()
@groups_option
def chat(groups: tuple[str, ...]) -> None:
    """Talk with the bot; an empty line ends it."""
    from verticals.support.replies import Turn

    bot = _bot()
    history: list[Turn] = []
    while True:
        try:
            text = click.prompt("you", default="", show_default=False)
        except (click.Abort, EOFError):
            break
        if not text.strip():
            break
        reply = bot.reply(text, history, groups or ("public",))
        click.echo(show_reply(reply.to_dict()))
        history += [Turn("customer", text), Turn("agent", reply.answer)]


@support.command()
@click.option("--knowledge", type=click.Path(path_type=Path), help="An FAQ of your own: id, question, answer.")
@click.option("--queries", type=click.Path(path_type=Path), help="Questions to it: question, id (blank: no answer).")
@click.option("--precision", type=click.FloatRange(0.5, 1.0, min_open=True, max_open=True), help="For the dial.")
@click.option("--first", default=300, show_default=True, help="Of BANKING77's test questions; 0 takes all.")
@as_json
def evaluate(knowledge: Path | None, queries: Path | None, precision: float | None, first: int, as_json: bool) -> None:
    """Measure the bot: on your FAQ and questions to it, or on BANKING77 and CLINC150 where they are."""
    from verticals.support.evaluation import evaluate_faq, evaluate_shipped
    from verticals.support.settings import SupportSettings

    if (knowledge is None) != (queries is None):
        raise InputError("--knowledge and --queries go together: the FAQ, and the questions to it.")
    if knowledge is not None and queries is not None:
        result = evaluate_faq(knowledge, queries, SupportSettings(), precision)
    else:
        from core.settings import get_settings

        result = evaluate_shipped(_bot(), get_settings().datasets, first or None)
    emit(result, as_json, _evaluated)


def _evaluated(result: dict[str, Any]) -> str:
    share = "–" if result["precision"] is None else f"{result['precision']:.1%}"
    lines = [f"answered {result['answered']} of {result['questions']}, {share} of them rightly"]
    measured = {**result["retrieval"], **{k: v for k, v in result["intents"].items() if isinstance(v, dict)}}
    if "out_of_scope" in result["intents"]:
        measured["out of scope handed over"] = result["intents"]["out_of_scope"]["handoff"]
    lines += [
        f"{n:<26} {v['value']:.3f} ({v['low']:.3f} to {v['high']:.3f})" for n, v in measured.items() if "low" in v
    ]
    latency = result["latency_ms"]
    return "\n".join([*lines, f"latency p50 {latency['p50']:.0f} ms, p95 {latency['p95']:.0f} ms"])


@support.command()
@click.option(
    "--precision", type=click.FloatRange(0.5, 1.0, min_open=True, max_open=True), help="Put this promise in force."
)
@as_json
def dial(precision: float | None, as_json: bool) -> None:
    """Show what precision the judged answers support and at what coverage, or fit the thresholds to one."""
    from core.operations.database import open_database
    from verticals.support.dial import state, turn
    from verticals.support.settings import SupportSettings
    from verticals.support.tables import metadata

    engine, settings = open_database(metadata), SupportSettings()
    found = turn(engine, settings, precision) if precision else state(engine, settings)
    emit(found.to_dict(), as_json, _dialled)


def _dialled(result: dict[str, Any]) -> str:
    thresholds, fitted, moved = result["thresholds"], result["dial"], result["drift"]
    promise = f"{fitted['target']:.0%} right"
    possible = f"{fitted['coverage']:.0%} coverage" if fitted["threshold"] is not None else fitted["reason"]
    lines = [f"in force: at least {thresholds['template']:.2f} sure, fitted on {thresholds['rows']} judged answers"]
    lines.append(f"on {result['judged']} judged answers, {promise}: {possible}")
    return "\n".join([*lines, *([f"warning: {moved['reason']}"] if moved["warning"] else [])])


@support.group()
def index() -> None:
    """Versions of the index: list, roll back, compare."""


@index.command("list")
@as_json
def index_list(as_json: bool) -> None:
    """List the versions that are kept."""
    from verticals.support.knowledge.store import versions
    from verticals.support.settings import SupportSettings

    emit([one.to_dict() for one in versions(SupportSettings().index)], as_json, _versions)


def _versions(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{'*' if row['served'] else ' '} {row['number']:>4}  {row['created']:<26} {row['documents']:>6} documents"
        f" {row['passages']:>7} passages"
        for row in rows
    ]
    return "\n".join(lines) or "nothing has been ingested yet; run: headwater support ingest PATH"


@index.command("rollback")
@click.argument("number", type=int, required=False)
@as_json
def index_rollback(number: int | None, as_json: bool) -> None:
    """Serve version NUMBER again, or the one before the current."""
    from verticals.support.knowledge.store import rollback
    from verticals.support.settings import SupportSettings

    emit(rollback(SupportSettings().index, number).to_dict(), as_json, lambda r: f"version {r['number']} is served")


@index.command("diff")
@click.argument("old", type=int)
@click.argument("new", type=int, required=False)
@click.option("--queries", type=click.Path(path_type=Path), help="Saved questions, one a line.")
@as_json
def index_diff(old: int, new: int | None, queries: Path | None, as_json: bool) -> None:
    """Show what version NEW (the served one) changes against OLD for saved questions."""
    from verticals.support.knowledge.store import diff_versions
    from verticals.support.opening import open_encoder
    from verticals.support.saved import saved_questions
    from verticals.support.settings import SupportSettings

    settings = SupportSettings()
    changes = diff_versions(settings.index, open_encoder(settings), saved_questions(queries), old, new)
    emit([change.to_dict() for change in changes], as_json, _changes)


def _changes(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        if row["gained"] or row["lost"] or row["moved"]:
            lines.append(f"{row['overlap']:.0%}  {row['query']}  +{row['gained']} -{row['lost']}")
    return "\n".join([*lines, f"{len(lines)} of {len(rows)} questions find something else"])


def _bot() -> "Bot":
    from verticals.support.opening import open_default

    return open_default()


def _slots(pairs: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name.strip():
            raise InputError(f"--slot {pair!r}: write NAME=VALUE.")
        found[name.strip()] = value.strip()
    return found


def show_reply(reply: dict[str, Any]) -> str:
    """A reply for people."""
    lines = [reply["answer"], *(f"  {n}. {choice}" for n, choice in enumerate(reply.get("choices", []), 1))]
    lines += [f"  [{c['document']}] {c['title']}: “{c['quote']}”" for c in reply["citations"]]
    lines += [reply["summary"]] if reply.get("summary") else []
    about = f"{reply['kind']}, {reply['intent'] or 'no intent'}, {reply['confidence']:.0%} sure"
    return "\n".join([*lines, f"({about}, {reply['latency_ms']:.0f} ms)"])
