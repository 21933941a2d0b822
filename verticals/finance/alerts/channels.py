"""How a message leaves the house: JSON to http(s) webhooks, everything else through Apprise."""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core.errors import InputError
from verticals.finance.alerts.rules import Receiver

_TIMEOUT = 15.0  # seconds
_WORDS = {
    "firing": "raised",
    "reminder": "still open",
    "resolved": "resolved",
    "nodata": "no data",
    "error": "cannot be judged",
}


def send(receiver: Receiver, group: str, alerts: Sequence[Mapping[str, Any]]) -> None:
    """Send one message about some alerts. Raises an exception unless the receiver took it."""
    if receiver.url.startswith(("http://", "https://")):
        _webhook(receiver, group, alerts)
    else:
        _apprise(receiver, alerts)


def check(receiver: Receiver) -> None:
    """Raises InputError when the receiver's address cannot be used."""
    if receiver.url.startswith(("http://", "https://")):
        return
    from apprise import Apprise

    if not Apprise().add(receiver.url):
        raise InputError(
            f"receiver {receiver.name!r}: its address is neither http(s) nor one Apprise knows; "
            "see https://github.com/caronc/apprise/wiki for how to write it."
        )


def headline(alerts: Sequence[Mapping[str, Any]]) -> str:
    """One line for a whole message."""
    first = alerts[0]
    line = f"[{first['severity']}] {first['title']}: {first['subject']} {_WORDS[first['kind']]}"
    return line if len(alerts) == 1 else f"{line} and {len(alerts) - 1} more"


def body(alerts: Sequence[Mapping[str, Any]]) -> str:
    """The message as plain text, one paragraph for each alert."""
    return "\n\n".join(_paragraph(alert) for alert in alerts)


def _paragraph(alert: Mapping[str, Any]) -> str:
    lines = [f"{alert['title']}: {alert['subject']} {_WORDS[alert['kind']]} ({alert['severity']})"]
    if alert["reason"]:
        lines.append(alert["reason"])
    if alert["started"]:
        lines.append(f"Since {alert['started']}")
    lines += [f"- {piece}" for piece in alert["evidence"][:5]]
    return "\n".join(lines)


def _webhook(receiver: Receiver, group: str, alerts: Sequence[Mapping[str, Any]]) -> None:
    import httpx

    # A webhook's address is its password. httpx names whole addresses in its errors, and in its log at INFO.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    key = hashlib.sha256("\n".join(alert["dedupe_key"] for alert in alerts).encode()).hexdigest()
    message = {"receiver": receiver.name, "group": group, "title": headline(alerts), "alerts": list(alerts)}
    with httpx.Client(timeout=_TIMEOUT, trust_env=False) as client:
        try:
            answer = client.post(receiver.url, json=message, headers={"Idempotency-Key": key})
        except httpx.HTTPError as error:
            raise RuntimeError(f"the receiver cannot be reached ({type(error).__name__})") from None
    if not answer.is_success:
        raise RuntimeError(f"the receiver answered {answer.status_code} {answer.reason_phrase}".rstrip())


def _apprise(receiver: Receiver, alerts: Sequence[Mapping[str, Any]]) -> None:
    from apprise import Apprise, NotifyType

    check(receiver)
    channel = Apprise()
    channel.add(receiver.url)
    kinds: dict[str, Callable[[], Any]] = {
        "critical": lambda: NotifyType.FAILURE,
        "warning": lambda: NotifyType.WARNING,
        "info": lambda: NotifyType.INFO,
    }
    done = all(alert["kind"] == "resolved" for alert in alerts)
    kind = NotifyType.SUCCESS if done else kinds[alerts[0]["severity"]]()
    if not channel.notify(body=body(alerts), title=headline(alerts), notify_type=kind):
        raise RuntimeError("the receiver did not take the message")
