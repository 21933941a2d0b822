"""The ``headwater finance`` commands."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from core.cli import as_json, emit
from verticals.finance.alert_commands import alerts
from verticals.finance.rule_commands import rules


@click.group()
def finance() -> None:
    """Watch financial news: poll sources, label articles, find surges, raise alerts."""


finance.add_command(alerts)
finance.add_command(rules)


def _open() -> Any:
    from verticals.finance.opening import open_store

    return open_store()


class _Sources(click.Group):
    """``sources`` alone lists; its subcommands change them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = next((a for a in args if not a.startswith("-")), None)
        if first is None and not {"-h", "--help"} & set(args):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@finance.group(cls=_Sources)
def sources() -> None:
    """List the sources and how they are doing; add, test, enable, disable or remove one."""


@sources.command("list")
@as_json
def sources_list(as_json: bool) -> None:
    """List the sources and how they are doing."""
    from verticals.finance import command_text, watch
    from verticals.finance.settings import finance_settings

    found = [one.to_dict() for one in watch.listed(_open(), finance_settings())]
    emit(found, as_json, command_text.sources)


@sources.command("add")
@click.argument("file", type=click.Path(path_type=Path))
@as_json
def sources_add(file: Path, as_json: bool) -> None:
    """Watch the sources of a TOML FILE of [[sources]] tables."""
    from verticals.finance import watch
    from verticals.finance.opening import utc_now
    from verticals.finance.settings import finance_settings
    from verticals.finance.sources import read_rows

    settings, engine = finance_settings(), _open()
    added = [watch.add(engine, row, settings, utc_now(), file.parent).id for row in read_rows(file)]
    emit({"added": added}, as_json, lambda r: f"added {', '.join(r['added'])}")


@sources.command("test")
@click.argument("file", type=click.Path(path_type=Path))
@as_json
def sources_test(file: Path, as_json: bool) -> None:
    """Visit the sources of a TOML FILE once and store nothing."""
    from verticals.finance import command_text
    from verticals.finance.polling import try_source
    from verticals.finance.settings import finance_settings
    from verticals.finance.sources import read_rows

    tried = [try_source(row, finance_settings(), folder=file.parent) for row in read_rows(file)]
    shown = [{**t.report.to_dict(), "titles": [item.title for item in t.items[:5]]} for t in tried]
    emit(shown, as_json, command_text.tried)


@sources.command("enable")
@click.argument("source")
@as_json
def sources_enable(source: str, as_json: bool) -> None:
    """Poll SOURCE from now on."""
    from verticals.finance import watch

    watch.enable(_open(), source, True)
    emit({"source": source, "enabled": True}, as_json, lambda r: f"{source} is polled from now on")


@sources.command("disable")
@click.argument("source")
@as_json
def sources_disable(source: str, as_json: bool) -> None:
    """Leave SOURCE alone; its articles stay."""
    from verticals.finance import watch

    watch.enable(_open(), source, False)
    emit({"source": source, "enabled": False}, as_json, lambda r: f"{source} is left alone from now on")


@sources.command("remove")
@click.argument("source")
@as_json
def sources_remove(source: str, as_json: bool) -> None:
    """Forget SOURCE; its articles stay."""
    from verticals.finance import watch

    watch.remove(_open(), source)
    emit({"source": source, "removed": True}, as_json, lambda r: f"{source} is forgotten")


@finance.command()
@click.argument("ids", nargs=-1, metavar="[SOURCE]…")
@as_json
def poll(ids: tuple[str, ...], as_json: bool) -> None:
    """Visit the sources that are due, or each SOURCE at once, and store what is new."""
    from verticals.finance import command_text, watch
    from verticals.finance.polling import Poller, poll_all
    from verticals.finance.settings import finance_settings

    settings, engine = finance_settings(), _open()
    watch.check_known(engine, ids)
    with Poller(engine, settings) as poller:
        visits = poller.run(only=ids) if ids else poll_all(poller)
    emit([visit.to_dict() for visit in visits], as_json, command_text.visits)


@finance.command()
@as_json
def run(as_json: bool) -> None:
    """Run every stage once, from polling to delivery, without a worker."""
    from verticals.finance import command_text
    from verticals.finance.monitor import Monitor

    monitor = Monitor(_open())
    visits = len(monitor.poll())
    labelled = 0
    while some := monitor.label():
        labelled += some
    detected, delivered = monitor.detect().to_dict(), monitor.deliver().to_dict()
    monitor.close()
    result = {"visits": visits, "labelled": labelled, "detected": detected, "delivered": delivered}
    emit(result, as_json, command_text.run)


@finance.command()
@click.argument("texts", nargs=-1, required=True, metavar="TEXT…")
@as_json
def score(texts: tuple[str, ...], as_json: bool) -> None:
    """Sentiment, topic and companies of each TEXT."""
    from core.errors import InputError
    from verticals.finance import command_text
    from verticals.finance.served import score as judge

    if any(not text.strip() for text in texts):
        raise InputError("a text is blank; there is nothing to score.")
    emit(judge(list(texts)), as_json, command_text.scores)


@finance.command()
@click.option("--scope", type=click.Choice(["all", "topic", "company", "source"]), default="topic", show_default=True)
@click.option("--subject", help="One topic, company code or source; all of the scope unless given.")
@click.option("--days", default=14, show_default=True, type=click.IntRange(1, 3660), help="How far back.")
@click.option("--step", type=click.Choice(["hour", "day", "week"]), default="day", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write the rows to a .csv or .parquet file, too.")
@as_json
def trends(scope: str, subject: str | None, days: int, step: str, out: Path | None, as_json: bool) -> None:
    """Stories, negative ones and the mean score over time."""
    from verticals.finance import command_text, export, reading
    from verticals.finance.opening import utc_now

    now = utc_now()
    rows = reading.trend(_open(), now - timedelta(days=days), now, scope, subject, step)
    if out is not None:
        export.write(rows, out)
    emit(rows, as_json, command_text.trend)


@finance.command()
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--rules", "rules_file", required=True, type=click.Path(path_type=Path), help="The rule book to run.")
@click.option("--events", type=click.Path(path_type=Path), help="CSV of marked events: the lead time against each.")
@as_json
def replay(archive: Path, rules_file: Path, events: Path | None, as_json: bool) -> None:
    """Run rules over the dated headlines of ARCHIVE with a simulated clock, through the code that runs live."""
    from verticals.finance import command_text
    from verticals.finance.replay import replay as run
    from verticals.finance.settings import finance_settings

    result = run(archive, rules_file, finance_settings(), events=events).to_dict()
    emit(result, as_json, command_text.replayed)


@finance.command()
@click.argument("series", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Gets timestamp,value,score,anomaly for every row.")
@as_json
def detect(series: Path, out: Path | None, as_json: bool) -> None:
    """Find anomalies in a timestamp,value SERIES, each row judged from the past only."""
    from verticals.finance import command_text
    from verticals.finance.detect import detect_file

    emit(detect_file(series, out), as_json, command_text.detected)
