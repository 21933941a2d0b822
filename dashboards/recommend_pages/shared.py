"""What the recommender's pages share: the open recommender, whom a list is for, tables, downloads."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from core.errors import InputError
from dashboards.parts.language import Texts
from verticals.recommend.recommender import Recommender
from verticals.recommend.sample import sample_interests
from verticals.recommend.scored import ScoredList
from verticals.recommend.served import served
from verticals.recommend.settings import recommend_settings

SHOWN_USERS = 500


def opened(t: Texts) -> Recommender:
    """The recommender of this process; before the first training the page says how to train, and ends."""
    try:
        with st.spinner(t("common.loading")):
            return served()
    except InputError as error:
        st.info(t("recommend.untrained"), icon=":material/info:")
        st.caption(str(error))
        st.stop()


def synthetic_note(t: Texts, recommender: Recommender) -> None:
    """Say that the behaviour is made up, where it is."""
    users = recommender.snapshot.users
    if users and all(name.startswith("sim-") for name in list(users)[:50]):
        st.caption(f":material/science: {t('recommend.synthetic')}")


def feature(t: Texts, name: str) -> str:
    """A feature's name in the viewer's language; columns of the items keep their own."""
    key = f"recommend.features.{name.replace(' ', '_').replace('-', '_')}"
    return t(key) if key in t.values else name.replace("_", " ")


def kind(t: Texts, name: str) -> str:
    """A kind of event in the viewer's language."""
    return t(f"recommend.kinds.{name}")


def choose_viewer(t: Texts, recommender: Recommender, key: str) -> dict[str, Any]:
    """Whom the list is for: a known user, an interest in words, or a history by hand; arguments for the recommender."""
    how = st.segmented_control(
        t("recommend.viewer.how"),
        ["user", "interest", "history"],
        format_func=lambda name: t(f"recommend.viewer.{name}"),
        default="user",
        key=f"{key}-how",
    )
    if how == "interest":
        return {"interest": _interest(t, key)}
    if how == "history":
        chosen = st.multiselect(
            t("recommend.viewer.history_items"),
            recommender.snapshot.items.ids,
            format_func=titles(recommender).__getitem__,
            key=f"{key}-history",
        )
        return {"history": chosen}
    users = most_active(recommender)
    if not users:
        st.caption(t("recommend.viewer.nobody"))
        return {}
    return {"user": st.selectbox(t("recommend.viewer.user"), users, key=f"{key}-user")}


def _interest(t: Texts, key: str) -> str | None:
    try:
        known = sample_interests(recommend_settings().sample)
    except InputError:
        known = []
    by_name = {one.name: one.text for one in known}
    name = st.selectbox(t("recommend.viewer.segment"), [*by_name], index=None, key=f"{key}-segment")
    text = st.text_area(
        t("recommend.viewer.words"), value=by_name.get(name or "", ""), key=f"{key}-words-{name}", height=90
    )
    return text.strip() or None


def most_active(recommender: Recommender) -> list[str]:
    """Users by how much is known of them, the most first."""
    snapshot = recommender.snapshot
    lengths = snapshot.histories.lengths
    ranked = sorted(snapshot.users.items(), key=lambda pair: (-int(lengths[pair[1]]), pair[0]))
    return [name for name, _ in ranked[:SHOWN_USERS]]


def titles(recommender: Recommender) -> dict[str, str]:
    """Item id -> title."""
    frame = recommender.snapshot.items.frame
    return dict(zip(frame["id"], frame["title"], strict=True))


def table_of(t: Texts, found: ScoredList, names: dict[str, str], kinds: Sequence[str]) -> pd.DataFrame:
    """The rows of a list as people read them."""
    rows = []
    for row in found.rows:
        reason = row.reason
        near = [names.get(item, item) for item, cosine in (reason.closest if reason else ()) if cosine > 0.05][:2]
        rows.append(
            {
                t("recommend.column.rank"): row.rank,
                t("recommend.column.title"): row.title or row.item,
                t("recommend.column.score"): row.score,
                **{kind(t, name): row.probabilities.get(name) for name in kinds},
                t("recommend.column.near"): " · ".join(near),
                t("recommend.column.words"): ", ".join(reason.words[:4]) if reason else "",
                t("recommend.column.category"): row.category,
                t("recommend.column.rules"): ", ".join(row.rules),
            }
        )
    frame = pd.DataFrame(rows)
    empty = t("recommend.column.rules")
    return frame if empty not in frame or (frame[empty] != "").any() else frame.drop(columns=empty)


def shown_kinds(found: ScoredList) -> list[str]:
    """The kinds of events there are probabilities for, at most two: those that say most of interest first."""
    known = found.rows[0].probabilities if found.rows else {}
    there: list[str] = [name for name in ("click", "buy", "like", "view") if name in known]
    return there[:2]


def downloads(t: Texts, frame: pd.DataFrame, name: str) -> None:
    """Two buttons: CSV and Parquet."""
    left, right, _ = st.columns([1, 1, 4])
    left.download_button(
        t("common.download_csv"), frame.to_csv(index=False).encode(), f"{name}.csv", "text/csv", key=f"{name}-csv"
    )
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    right.download_button(t("common.download_parquet"), buffer.getvalue(), f"{name}.parquet", key=f"{name}-parquet")


def failed(t: Texts, error: Exception) -> None:
    """Say what did not work."""
    st.error(t("common.failed", why=str(error)), icon=":material/error:")


def first(values: Iterable[str], count: int) -> list[str]:
    """The first so many."""
    return [value for _, value in zip(range(count), values, strict=False)]
