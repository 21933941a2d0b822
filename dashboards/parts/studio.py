"""The Studio: labelled text in, methods compared, a model tuned, read about, promoted or rolled back."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd
import streamlit as st

from core.errors import InputError
from core.fewlabels.contenders import TUNED, WAYS
from core.serving import mlflow_client
from core.serving.registry import Registry
from core.settings import get_settings
from core.studio import uploads, work
from core.tuning.recipe import Recipe
from dashboards.parts import sign_in
from dashboards.parts.language import Texts

_COLOURS: dict[work.State, Literal["blue", "green", "red", "gray"]] = {
    "running": "blue",
    "done": "green",
    "failed": "red",
    "stopped": "gray",
}
_DEFAULT = ("tf-idf", "head", "top-layers", "few-shot")


def draw(t: Texts) -> None:
    """The page."""
    st.title(t("common.studio.title"), anchor=False)
    st.caption(t("common.studio.help"))
    _now(t)
    tabs = st.tabs([t(f"common.studio.tabs.{name}") for name in ("data", "compare", "tune", "models")])
    with tabs[0]:
        recipe = _data(t)
    for tab, show in ((tabs[1], _compare), (tabs[2], _tune)):
        with tab:
            if recipe is None:
                st.info(t("common.studio.no_data"), icon=":material/upload_file:")
            else:
                show(t, recipe)
    with tabs[3]:
        _models(t)


@st.fragment(run_every=2)
def _now(t: Texts) -> None:
    """The latest work; the whole page is drawn again when it ends, so that its result is there."""
    latest = next(iter(work.all_work(get_settings())), None)
    if latest is None:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.badge(t(f"common.studio.state.{latest.state}"), color=_COLOURS[latest.state])
        st.markdown(f"{t(f'common.studio.kind.{latest.kind}')} · **{latest.name}**")
        if latest.state in ("running", "failed"):
            st.caption(latest.progress.replace("[", "\\[").replace("<", "&lt;")[:200])
        if latest.state == "running" and st.button(t("common.studio.stop"), key=f"studio-stop-{latest.id}"):
            work.stop(latest)
    seen = (latest.id, latest.state)
    if st.session_state.get("studio-seen") not in (None, seen):
        st.session_state["studio-seen"] = seen
        st.rerun()
    st.session_state["studio-seen"] = seen


def _data(t: Texts) -> Recipe | None:
    """Upload, say which column is what, read the report; the recipe if the data are fit for one."""
    settings = get_settings()
    given = st.file_uploader(
        t("common.studio.upload"),
        type=[suffix.lstrip(".") for suffix in uploads.SUFFIXES],
        max_upload_size=uploads.MAX_BYTES // 1024**2,
        key="studio-upload",
    )
    try:
        if given is not None:
            kept = uploads.keep(given.name, given.getvalue(), settings)
            if st.session_state.get("studio-kept") != kept:
                st.session_state["studio-kept"] = st.session_state["studio-file"] = kept
        files = uploads.uploads(settings)
        if not files:
            return None
        path = st.selectbox(t("common.studio.file"), files, format_func=lambda p: p.name, key="studio-file")
        names, text, label = uploads.guess_columns(path)
        columns = st.columns(3)
        text = columns[0].selectbox(t("common.studio.text"), names, names.index(text), key=f"studio-text-{path.name}")
        label = columns[1].selectbox(
            t("common.studio.label"), names, names.index(label), key=f"studio-label-{path.name}"
        )
        name = columns[2].text_input(
            t("common.studio.name"), path.stem.rsplit("-", 1)[0], key=f"studio-name-{path.name}"
        )
        recipe = uploads.recipe(name, path, text, label)
        found = _report(str(path), text, label)
    except InputError as error:
        st.error(t("common.failed", why=str(error)), icon=":material/error:")
        return None
    left, right = st.columns([2, 3], gap="large")
    with left:
        for part, column in zip(("train", "validation", "test"), st.columns(3), strict=True):
            column.metric(t(f"common.studio.rows.{part}"), f"{found.rows.get(part, 0):,}")
        counts = pd.DataFrame({"label": list(found.labels), "n": list(found.labels.values())})
        st.dataframe(
            counts,
            hide_index=True,
            height=min(460, 38 + 35 * len(counts)),
            column_config={
                "label": t("common.studio.label"),
                "n": st.column_config.ProgressColumn(
                    t("common.studio.examples"), format="%d", min_value=0, max_value=int(counts["n"].max())
                ),
            },
        )
    with right:
        st.markdown(f"**{t('common.studio.findings')}**")
        if not found.findings:
            st.caption(t("common.studio.no_findings"))
        for one in found.findings:
            with st.expander(f"{one['message']}"):
                st.caption(f"{one['kind']} · {one['action']}")
                for where in one["examples"]:
                    st.code(where.replace(str(path.resolve()), path.name), language=None)
    return recipe


@st.cache_data(show_spinner=False)
def _report(path: str, text: str, label: str) -> uploads.Report:
    return uploads.report(uploads.recipe("report", Path(path), text, label))


def _compare(t: Texts, recipe: Recipe) -> None:
    with st.form("studio-compare", border=False):
        methods = st.pills(
            t("common.studio.methods"), list(WAYS), default=_DEFAULT, selection_mode="multi", key="studio-methods"
        )
        minutes = st.slider(t("common.studio.minutes"), 1, 60, 5, key="studio-minutes")
        if st.form_submit_button(t("common.studio.start_compare"), type="primary", icon=":material/compare_arrows:"):
            if methods:
                _do(t, lambda: work.start_comparison(recipe, methods, float(minutes), get_settings()))
            else:
                st.warning(t("common.studio.no_method"))
    done = _latest("compare", recipe.name)
    if done is None or done.result is None:
        return
    rows = [
        {
            t("common.studio.method"): row["method"],
            t("common.studio.examples"): row["rows"],
            t("common.studio.accuracy"): row["metrics"]["accuracy"]["value"],
            t("common.studio.interval"): "{low:.3f} – {high:.3f}".format(**row["metrics"]["accuracy"]),
            t("common.studio.took"): row["minutes"],
            t("common.studio.weights"): row["trained_parameters"],
            "MB": row["megabytes"],
            "ms": row["latency_ms"],
        }
        for row in done.result["rows"]
    ]
    advice = done.result["advice"]
    st.success(t("common.studio.advice", method=advice["method"], why=advice["why"]), icon=":material/lightbulb:")
    st.dataframe(pd.DataFrame(rows).round(3), hide_index=True)
    for one in done.result["skipped"]:
        st.caption(t("common.studio.skipped", method=one["method"], why=one["why"]))
    plot = Path(done.result["folder"]) / "comparison.png"
    if plot.is_file():
        st.image(str(plot), width=720)


def _tune(t: Texts, recipe: Recipe) -> None:
    compared = _latest("compare", recipe.name)
    advised = compared.result["advice"]["method"] if compared is not None and compared.result else "few-shot"
    options = list(TUNED)
    method = st.selectbox(
        t("common.studio.method"), options, options.index(advised if advised in TUNED else "few-shot")
    )
    if st.button(t("common.studio.start_tune"), type="primary", icon=":material/model_training:"):
        _do(t, lambda: work.start_tuning(recipe, method, get_settings()))
    done = _latest("tune", recipe.name)
    if done is None or done.result is None:
        return
    st.markdown(f"**{done.name} {done.result['version']}**")
    measured = {name: value for name, value in done.result["metrics"].items() if value["value"] is not None}
    st.dataframe(
        [{"": name, **{k: value.get(k) for k in ("value", "low", "high")}} for name, value in measured.items()],
        hide_index=True,
        width="content",
    )


def _models(t: Texts) -> None:
    """Versions with their cards; an admin moves them where people sign in, since a promotion is for everybody."""
    admin = sign_in.may("admin")
    if not admin:
        st.caption(t("common.studio.admins"))
    registry = Registry(get_settings())
    try:
        models = registry.list() if mlflow_client.is_there(get_settings()) else ()
    except InputError as error:
        st.error(t("common.failed", why=str(error)), icon=":material/error:")
        return
    if not models:
        st.caption(t("common.nothing"))
        return
    by_name = {one.name: one for one in models}
    model = by_name[st.selectbox(t("common.studio.model"), list(by_name), key="studio-model")]
    for version in model.versions:
        with st.container(border=True):
            head, act = st.columns([5, 1], vertical_alignment="center")
            aliases = " ".join(f":green-badge[{alias}]" for alias in version.aliases)
            accuracy = version.metrics.get("accuracy")
            head.markdown(
                f"**{model.name} {version.version}** {aliases} · {version.method} · "
                f"{version.created:%Y-%m-%d %H:%M} UTC" + ("" if accuracy is None else f" · {accuracy:.3f}")
            )
            if (
                admin
                and "production" not in version.aliases
                and act.button(t("common.studio.promote"), key=f"studio-promote-{model.name}-{version.version}")
            ):
                _do(t, partial(registry.promote, model.name, version.version))
            if version.card is not None and version.card.is_file():
                with st.expander(t("common.studio.card")):
                    _card(version.card)
    if admin and "previous" in model.aliases and st.button(t("common.studio.rollback"), icon=":material/undo:"):
        _do(t, partial(registry.rollback, model.name))


def _card(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    st.markdown(text.split("---", 2)[2] if text.startswith("---") else text)
    for plot in sorted(path.parent.glob("*.png")):
        st.image(str(plot), width=560)


def _latest(kind: str, name: str) -> work.Work | None:
    """The last finished work of that kind on that name."""
    found = (one for one in work.all_work(get_settings()) if (one.kind, one.name, one.state) == (kind, name, "done"))
    return next(found, None)


def _do(t: Texts, act: Callable[[], object]) -> None:
    try:
        act()
    except InputError as error:
        st.error(t("common.failed", why=str(error)), icon=":material/error:")
        return
    st.rerun()
