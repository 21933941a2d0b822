"""Data: what is loaded and how fresh it is, upload with column mapping and a report, and training."""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import streamlit as st

from core.data.plain import column_names
from core.data.sources import Source
from core.errors import InputError
from dashboards.parts.language import Texts
from dashboards.recommend_pages import shared
from verticals.recommend.behaviour import EventColumns
from verticals.recommend.items import ItemColumns
from verticals.recommend.loading import checked_events, read_upload
from verticals.recommend.settings import recommend_settings
from verticals.recommend.store import Store
from verticals.recommend.training import train


def draw(t: Texts) -> None:
    """Draw the page."""
    st.title(t("recommend.data.title"), anchor=False)
    settings = recommend_settings()
    store = Store.open(settings.core)
    counts = store.counts()
    changes = store.changes(12)
    one, two, three, four = st.columns(4)
    one.metric(t("recommend.data.items"), f"{counts['items']:,}")
    two.metric(t("recommend.data.events"), f"{counts['events']:,}")
    three.metric(t("recommend.data.shown"), f"{counts['shown']:,}")
    four.metric(t("recommend.data.changed"), _ago(t, changes[0]["time"]) if changes else "–")
    left, right = st.columns([1.2, 1], gap="large")
    with left:
        _upload(t, store)
    with right:
        _training(t, counts["items"] > 0)
        st.subheader(t("recommend.data.changes"))
        if changes:
            rows = [
                {
                    t("recommend.data.version"): change["version"],
                    t("recommend.data.time"): change["time"].strftime("%Y-%m-%d %H:%M"),
                    t("recommend.data.what"): t(f"recommend.data.kind_{change['kind']}"),
                    t("recommend.data.rows"): change["rows"],
                    t("recommend.data.note"): change["note"],
                }
                for change in changes
            ]
            st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
        else:
            st.caption(t("common.nothing"))


def _ago(t: Texts, when: datetime) -> str:
    minutes = int((datetime.now(UTC) - when).total_seconds() // 60)
    if minutes < 120:
        return t("recommend.data.minutes", n=max(minutes, 0))
    return t("recommend.data.hours", n=minutes // 60) if minutes < 2880 else t("recommend.data.days", n=minutes // 1440)


def _training(t: Texts, possible: bool) -> None:
    st.subheader(t("recommend.data.training"))
    try:
        status = shared.served().status()
        st.caption(
            t(
                "recommend.data.trained",
                version=status["model"],
                time=status["trained"]["time"][:16].replace("T", " "),
                events=f"{status['trained']['events']:,}",
                behind=f"{max(status['events'] - status['trained']['events'], 0):,}",
            )
        )
    except InputError:
        st.caption(t("recommend.untrained"))
    if st.button(t("recommend.data.train"), disabled=not possible, icon=":material/model_training:"):
        with st.status(t("recommend.data.working"), expanded=True) as box:
            try:
                made = train(recommend_settings(), st.write, note="dashboard")
            except InputError as error:
                box.update(state="error")
                shared.failed(t, error)
                return
            box.update(label=t("recommend.data.done", version=made.version), state="complete")


def _upload(t: Texts, store: Store) -> None:
    st.subheader(t("recommend.data.upload"))
    what = st.segmented_control(
        t("recommend.data.what"),
        ["items", "events"],
        format_func=lambda name: t(f"recommend.data.kind_{name}"),
        default="items",
    )
    given = st.file_uploader(t("recommend.data.file"), ["csv", "tsv", "jsonl", "parquet"], key=f"upload-{what}")
    st.caption(t(f"recommend.data.columns_{what or 'items'}"))
    if given is None:
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / Path(given.name).name
        path.write_bytes(given.getvalue())
        try:
            existing = column_names(Source(path=path))
            mapping = _mapping(t, what or "items", existing)
            if not st.button(t("recommend.data.add"), type="primary"):
                return
            _add(t, store, path, what or "items", mapping)
        except InputError as error:
            shared.failed(t, error)


def _mapping(t: Texts, what: str, existing: list[str]) -> dict[str, str]:
    """Which column is which, for those whose name differs."""
    model = ItemColumns if what == "items" else EventColumns
    fields = [name for name in model.model_fields if name != "events"]
    with st.expander(t("recommend.data.mapping"), icon=":material/table_rows:"):
        chosen = {
            name: st.selectbox(
                name, existing, index=existing.index(name) if name in existing else None, key=f"map-{what}-{name}"
            )
            for name in fields
        }
    return {name: column for name, column in chosen.items() if column is not None and column != name}


def _add(t: Texts, store: Store, path: Path, what: str, mapping: dict[str, str]) -> None:
    findings: list[dict[str, Any]]
    if what == "items":
        items, _ = read_upload(path, None, ItemColumns(**mapping) if mapping else None, None)
        if items is None:
            return
        change = store.upsert_items(items, path.name)
        findings = [finding.to_dict() for finding in items.findings]
    else:
        _, events = read_upload(None, path, None, EventColumns.model_validate(mapping) if mapping else None)
        if events is None:
            return
        checked = checked_events(store, events)
        change = store.append_events(checked.events, path.name)
        findings = checked.to_dict()["findings"]
    st.success(t("recommend.data.added", rows=change.rows, new=change.added, version=change.version))
    if findings:
        st.markdown(f"**{t('recommend.data.report')}**")
        rows = [{t("recommend.data.rows"): f["count"], t("recommend.data.what"): f["message"]} for f in findings]
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
    else:
        st.caption(t("recommend.data.clean"))
