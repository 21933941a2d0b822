"""The bot, a Haystack and a LlamaIndex pipeline on the same passages with the same encoder, for the support benchmark.

Each system is a process of its own that answers a question whenever the controller asks, so that a slow moment of the
machine hits all of them alike. The peers run in ``.venv-peers``: hybrid retrieval (BM25 and vectors) with reciprocal
rank fusion, which is what their documentation recommends, and nothing else; ours also redacts, classifies the intent,
judges the scope and cuts out the answering sentences.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

Reply = Callable[[str], list[int]]
"""The places of the passages found, best first; none when the system says them in another way."""


def ours(folder: Path, depth: int) -> Reply:
    """The product's bot on an index of these passages; how many it looks at is its own affair."""
    from verticals.support.bot import Bot
    from verticals.support.settings import SupportSettings

    bot = Bot.open(SupportSettings(index=folder / "index"))

    def reply(question: str) -> list[int]:
        bot.reply(question)
        return []

    return reply


def haystack(folder: Path, depth: int) -> Reply:
    """An in-memory store, BM25 and embedding retrievers, joined by reciprocal ranks."""
    from haystack import Document, Pipeline
    from haystack.components.joiners import DocumentJoiner
    from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore
    from haystack_integrations.components.embedders.sentence_transformers import SentenceTransformersTextEmbedder

    texts, vectors, model = _given(folder)
    store = InMemoryDocumentStore(embedding_similarity_function="dot_product")
    pairs = enumerate(zip(texts, vectors, strict=True))
    store.write_documents([Document(id=str(n), content=t, embedding=v.tolist()) for n, (t, v) in pairs])
    pipeline = Pipeline()
    pipeline.add_component("embedder", SentenceTransformersTextEmbedder(model=model, progress_bar=False))
    pipeline.add_component("near", InMemoryEmbeddingRetriever(store, top_k=depth))
    pipeline.add_component("words", InMemoryBM25Retriever(store, top_k=depth))
    pipeline.add_component("join", DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=depth))
    pipeline.connect("embedder.embedding", "near.query_embedding")
    pipeline.connect("near", "join")
    pipeline.connect("words", "join")
    pipeline.warm_up()

    def reply(question: str) -> list[int]:
        found = pipeline.run({"embedder": {"text": question}, "words": {"query": question}})
        return [int(document.id) for document in found["join"]["documents"]]

    return reply


def llamaindex(folder: Path, depth: int) -> Reply:
    """A vector store index and a BM25 retriever, fused by reciprocal ranks."""
    from llama_index.core import Settings, VectorStoreIndex
    from llama_index.core.llms import MockLLM
    from llama_index.core.retrievers import QueryFusionRetriever
    from llama_index.core.schema import TextNode
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding
    from llama_index.retrievers.bm25 import BM25Retriever

    texts, vectors, model = _given(folder)
    Settings.embed_model = HuggingFaceEmbedding(model_name=model, device="cpu")
    Settings.llm = MockLLM()
    pairs = enumerate(zip(texts, vectors, strict=True))
    nodes = [TextNode(id_=str(n), text=t, embedding=v.tolist()) for n, (t, v) in pairs]
    index = VectorStoreIndex(nodes)
    retrievers = [
        index.as_retriever(similarity_top_k=depth),
        BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=depth),
    ]
    fused = QueryFusionRetriever(
        retrievers, similarity_top_k=depth, num_queries=1, mode="reciprocal_rerank", use_async=False
    )
    return lambda question: [int(hit.node.node_id) for hit in fused.retrieve(question)]


SYSTEMS = {"headwater": ours, "haystack": haystack, "llamaindex": llamaindex}


def _given(folder: Path) -> tuple[list[str], np.ndarray, str]:
    about = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    return about["texts"], np.load(folder / "vectors.npy"), about["model"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Answer the questions that come in as lines; say what each found and how many milliseconds it took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.support_systems", description=__doc__)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--depth", type=int, default=5, help="passages that a peer's retrievers and fusion each return")
    chosen = parser.parse_args(arguments)
    out = sys.stdout
    sys.stdout = sys.stderr  # whatever libraries print
    reply = SYSTEMS[chosen.system](chosen.folder, chosen.depth)
    for question in ("hello", "how long does a card take to arrive"):
        reply(question)
    print(json.dumps({"ready": True}), file=out, flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        found = reply(json.loads(line))
        print(json.dumps({"ms": (time.perf_counter() - started) * 1000, "found": found}), file=out, flush=True)


if __name__ == "__main__":
    main()
