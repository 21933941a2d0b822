"""The bot: one question in, one reply out, by steps that are tried in order.

redact → intent and scope → annotated answer → template → passages → clarify → hand-over. Retrieved text is only ever
quoted: nothing in it is carried out, and nothing of it is formatted as a template.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from core.errors import InputError
from verticals.support import texts
from verticals.support.answers import Extract, cite, extract
from verticals.support.followup import leans_on_history, with_history
from verticals.support.intents import IntentGuess, Intents
from verticals.support.knowledge.store import Knowledge
from verticals.support.precision import Thresholds, Watched
from verticals.support.redaction import redact
from verticals.support.replies import Annotated, AnnotatedAnswer, Reply, SimilarCases, Turn
from verticals.support.retrieval import Found, Retrieval
from verticals.support.rewrite import Rewriter
from verticals.support.scope import Judgement, Scope
from verticals.support.settings import SupportSettings
from verticals.support.summary import summarise
from verticals.support.templates import Template

LONGEST = 4_000  # characters of a question that are looked at
CHOICES = 3
_BESIDE = 4  # replies that may guess intents at once; more wait their turn
_CLARIFY = 0.08  # an intent less probable than this is not worth offering


@dataclass
class Case:
    """Everything known about one question while it is being answered."""

    asked: str
    question: str
    history: tuple[Turn, ...]
    groups: tuple[str, ...]
    slots: Mapping[str, str]
    vector: np.ndarray
    knowledge: Knowledge
    guess: IntentGuess | None
    found: list[Found]
    extracts: list[Extract]
    judged: Judgement
    signs: Mapping[str, float]
    annotated: AnnotatedAnswer | None = None
    stages: dict[str, float] = field(default_factory=dict)


class Bot:
    """Answers questions; made by ``Bot.open``. Safe for several threads."""

    def __init__(
        self,
        settings: SupportSettings,
        retrieval: Retrieval,
        intents: Intents | None,
        scope: Scope,
        templates: Mapping[str, Template],
        thresholds: Thresholds | Watched,
        annotated: Annotated | None = None,
        similar: SimilarCases | None = None,
        rewriter: Rewriter | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``clock`` gives seconds, for latencies."""
        self.settings, self.retrieval, self.intents, self.scope = settings, retrieval, intents, scope
        self.templates, self._thresholds = templates, thresholds
        self.annotated, self.similar, self.rewriter = annotated, similar, rewriter
        self.clock = clock
        self._beside = ThreadPoolExecutor(_BESIDE, thread_name_prefix="support-intent")

    @classmethod
    def open(
        cls,
        settings: SupportSettings | None = None,
        annotated: Annotated | None = None,
        similar: SimilarCases | None = None,
    ) -> "Bot":
        """Everything the settings name, loaded. Raises InputError when nothing has been ingested yet."""
        from verticals.support.opening import open_bot

        return open_bot(cls, settings or SupportSettings(), annotated, similar)

    @property
    def thresholds(self) -> Thresholds:
        """How sure it must be now."""
        return self._thresholds.current()

    def encode(self, text: str) -> np.ndarray:
        """The unit vector [d] of a question."""
        return np.asarray(self.retrieval.encoder.encode([text])[0])

    def reply(
        self,
        text: str,
        history: Sequence[Turn] = (),
        groups: Sequence[str] = ("public",),
        slots: Mapping[str, str] | None = None,
    ) -> Reply:
        """Answer a question with what ``groups`` may read. Raises InputError for a blank one or without a group."""
        started = self.clock()
        if not text.strip():
            raise InputError("the question is blank; write what the customer asks.")
        if not groups:
            raise InputError("give at least one group whose documents may be read, such as public.")
        asked = redact(text[:LONGEST])
        earlier = tuple(replace(turn, text=redact(turn.text[:LONGEST]).text) for turn in history)
        case = self.look(asked.text, earlier, tuple(groups), slots or {})
        reply = self._decide(case)
        similar = tuple(self.similar.find(case.vector)) if self.similar is not None else ()
        ended = self.clock()
        detail: dict[str, Any] = {
            **reply.detail,
            "question": case.question,
            "scope": round(case.judged.scope, 4),
            "guess": case.guess.intent if case.guess else None,
            "index_version": case.knowledge.version,
            "stages_ms": {name: round(value, 2) for name, value in case.stages.items()},
        }
        if asked.counts:
            detail["redacted"] = asked.counts
        return replace(reply, similar=similar, detail=detail, latency_ms=(ended - started) * 1000)

    def look(self, text: str, history: tuple[Turn, ...], groups: tuple[str, ...], slots: Mapping[str, str]) -> Case:
        """Everything that can be found out about a question, alone or, where it leans on them, with those before it."""
        alone = self._look(text, text, history, groups, slots)
        if not leans_on_history(text, history) and not self._fills_slot(text, history):
            return alone
        joined = self._look(text, with_history(text, history), history, groups, slots)
        best_alone = max(alone.judged.intent, alone.judged.passage)
        best_joined = max(joined.judged.intent, joined.judged.passage)
        return joined if best_joined >= best_alone else alone

    def _fills_slot(self, text: str, history: tuple[Turn, ...]) -> bool:
        """Whether the agent's last message asked for something that this one tells."""
        last = next((turn.text for turn in reversed(history) if turn.role == "agent"), "")
        slots = (slot for template in self.templates.values() for slot in template.slots.values())
        return any(slot.ask in last and slot.find(text) for slot in slots) if last else False

    def _look(
        self, asked: str, question: str, history: tuple[Turn, ...], groups: tuple[str, ...], slots: Mapping[str, str]
    ) -> Case:
        stages: dict[str, float] = {}
        at = self.clock()
        knowledge = self.retrieval.knowledge
        # The two networks do not need each other: on two cores the reply takes as long as the slower one.
        guessing = self._beside.submit(self.intents.guess, [question]) if self.intents else None
        vector = self.encode(question)
        at = self._stage(stages, "encode", at)
        found = self.retrieval.search(question, groups, self.settings.passages, knowledge=knowledge)
        extracts = [extract(vector, one, knowledge) for one in found]
        at = self._stage(stages, "retrieval", at)
        guess = guessing.result()[0] if guessing else None
        at = self._stage(stages, "intent", at)
        sentence = max((one.best_sentence for one in extracts), default=0.0)
        template = self.templates.get(guess.intent) if guess else None
        signs = self.scope.signs(guess, vector, found, sentence, template.articles if template else ())
        judged = self.scope.judge(signs, guess is not None)
        self._stage(stages, "scope", at)
        return Case(
            asked,
            question,
            history,
            groups,
            slots,
            vector,
            knowledge,
            guess,
            found,
            extracts,
            judged,
            signs,
            None,
            stages,
        )

    def _stage(self, stages: dict[str, float], name: str, since: float) -> float:
        now = self.clock()
        stages[name] = (now - since) * 1000
        return now

    def _decide(self, case: Case) -> Reply:
        for step in (self._from_annotation, self._from_template, self._from_passages, self._clarify):
            reply = step(case)
            if reply is not None:
                return reply
        return self._hand_over(case)

    def _from_annotation(self, case: Case) -> Reply | None:
        if self.annotated is None:
            return None
        found = self.annotated.find(case.vector, case.groups)
        if found is None or found.similarity < self.settings.annotated_similarity:
            return None
        intent = found.intent or (case.guess.intent if case.guess else None)
        citations = found.citations or cite(case.vector, case.found, case.knowledge)
        detail = {"source": "annotated", "annotation": found.id, "earlier_question": found.question}
        return Reply(found.answer, "template", intent, min(1.0, found.similarity), citations, detail=detail)

    def _from_template(self, case: Case) -> Reply | None:
        guess, judged = case.guess, case.judged
        if guess is None or judged.scope < self.thresholds.scope or judged.intent < self.thresholds.template:
            return None
        template = self.templates.get(guess.intent)
        if template is None:
            return None
        sources = self.retrieval.search(
            case.question, case.groups, 4, template.articles, rerank=False, knowledge=case.knowledge
        )
        if not sources:  # no document that this reader may see says so
            return None
        citations = cite(case.vector, sources, case.knowledge)
        known = template.known(case.question, case.slots)
        missing = template.missing(known)
        detail = {"source": "template", "slots": known}
        if missing:
            ask = " ".join(template.slots[name].ask for name in missing)
            return Reply(
                ask, "clarify", guess.intent, judged.intent, citations, missing_slots=tuple(missing), detail=detail
            )
        return Reply(template.render(known), "template", guess.intent, judged.intent, citations, detail=detail)

    def _from_passages(self, case: Case) -> Reply | None:
        judged = case.judged
        # Not asked whether it is in scope: that knows the intents, and the knowledge base holds more than they ask for.
        if not case.extracts or judged.passage < self.thresholds.passage:
            return None
        best, *others = case.extracts
        near = [one for one in others if one.citation.document == best.citation.document]
        citations = tuple(one.citation for one in (best, *near[:1]))
        quoted = "\n".join(citation.quote for citation in citations)
        intent = case.guess.intent if case.guess and judged.intent >= 0.5 else None
        detail: dict[str, Any] = {"source": "passage"}
        answer = quoted
        if self.rewriter is not None:
            outcome = self.rewriter.rewrite(case.question, quoted)
            answer = outcome.text or quoted
            detail["rewrite"] = outcome.to_dict()
        return Reply(answer, "passage", intent, judged.passage, citations, detail=detail)

    def _clarify(self, case: Case) -> Reply | None:
        judged, guess = case.judged, case.guess
        if judged.scope < self.thresholds.scope or (guess is None and judged.passage < _CLARIFY):
            return None
        offers: dict[str, str] = {}
        for intent, probability in guess.ranked if guess else ():
            template = self.templates.get(intent)
            if template is not None and probability >= _CLARIFY and (said := self._asks(template, case)):
                offers.setdefault(said, intent)
        for one in case.found:
            offers.setdefault(one.document.title, "")
        choices = tuple(offers)[:CHOICES]
        if len(choices) < 2:
            return None
        confidence = max(judged.intent, judged.passage)
        detail = {"source": "clarify", "intents": [offers[choice] for choice in choices]}
        answer = texts.says("clarify", case.question)
        return Reply(answer, "clarify", guess.intent if guess else None, confidence, choices=choices, detail=detail)

    def _asks(self, template: Template, case: Case) -> str:
        """What an intent is offered as, if the reader may see a document that answers it."""
        for name in template.articles:
            try:
                title = case.knowledge.document(name, case.groups).title
            except InputError:
                continue
            return template.question or title
        return ""

    def _hand_over(self, case: Case) -> Reply:
        out = case.judged.scope < self.thresholds.scope
        reason = "the question is about something else" if out else "no answer is sure enough"
        return Reply(
            texts.says("handoff", case.question),
            "handoff",
            case.guess.intent if case.guess and not out else None,
            max(case.judged.intent, case.judged.passage),
            summary=summarise(case.asked, case.history, case.guess, case.found, reason),
            detail={"source": "handoff", "reason": reason},
        )
