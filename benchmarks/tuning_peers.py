"""The peers: the seed recipe, and HF ``Trainer`` with its defaults. Both train the same plain model.

``on_step(rows)`` is called after every optimiser step, ``on_epoch(number, model, tokenizer)`` after every
epoch.
"""

import tempfile
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.tuning_data import Job
from core.data.load import Dataset
from core.models.sources import load_encoder, load_tokenizer, resolve

MAX_LENGTH = 128
SEED_BATCH = 16

OnStep = Callable[[int], None]
OnEpoch = Callable[[float, Any, Any], None]


class MeanPooledClassifier(nn.Module):
    """A backbone, the mean over its token vectors, and a linear head that starts at random."""

    def __init__(self, backbone: nn.Module, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(int(backbone.config.hidden_size), classes)  # type: ignore[arg-type]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """``logits`` [b, c], and ``loss`` when labels [b] are given."""
        hidden = self.backbone(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        logits = self.head((hidden * weights).sum(1) / weights.sum(1))
        return {"logits": logits} if labels is None else {"loss": F.cross_entropy(logits, labels), "logits": logits}


def seed_recipe(job: Job, backbone: str, data: Dataset, on_step: OnStep, on_epoch: OnEpoch) -> None:
    """Every text padded to 128 tokens, batches of 16, torch's AdamW as it comes, one plain loop."""
    from torch.utils.data import DataLoader, TensorDataset

    model, tokenizer, targets = _prepare(job, backbone, data)
    encoded = tokenizer(
        list(data.train["text"]),
        padding="max_length",
        truncation=True,
        max_length=MAX_LENGTH,
        return_tensors="pt",
    )
    rows = TensorDataset(encoded["input_ids"], encoded["attention_mask"], targets)
    loader = DataLoader(rows, batch_size=SEED_BATCH, shuffle=True, generator=torch.Generator().manual_seed(job.seed))
    optimiser = torch.optim.AdamW(model.parameters(), lr=job.peer_learning_rate)
    for epoch in range(_whole(job.epochs)):
        model.train()
        for ids, mask, labels in loader:
            optimiser.zero_grad()
            model(ids, mask, labels=labels)["loss"].backward()
            optimiser.step()
            on_step(len(labels))
        on_epoch(epoch + 1, model, tokenizer)


def trainer_defaults(job: Job, backbone: str, data: Dataset, on_step: OnStep, on_epoch: OnEpoch) -> None:
    """``Trainer`` with default ``TrainingArguments`` and a collator that pads to the longest of a batch."""
    from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

    model, tokenizer, targets = _prepare(job, backbone, data)
    encoded = tokenizer(list(data.train["text"]), truncation=True, max_length=MAX_LENGTH)
    rows = [
        {"labels": int(label), **{key: encoded[key][i] for key in encoded}} for i, label in enumerate(targets.tolist())
    ]

    class Hooks(TrainerCallback):
        def __init__(self) -> None:
            self.in_epoch = 0

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.in_epoch = 0

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            batch = min(args.train_batch_size, len(rows) - self.in_epoch)
            self.in_epoch += batch
            on_step(batch)

        def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            on_epoch(state.epoch, model, tokenizer)
            model.train()

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=_whole(job.epochs),
            learning_rate=job.peer_learning_rate,
            use_cpu=not torch.cuda.is_available(),
            report_to=[],
            save_strategy="no",
            seed=job.seed,
            disable_tqdm=True,
        )
        Trainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[Hooks()],
        ).train()


def predict(model: nn.Module, tokenizer: Any, texts: list[str]) -> list[int]:
    """Class numbers in input order."""
    from core.tuning.inference import by_length, pad, tokenise

    encoded = tokenise(tokenizer, texts, None, MAX_LENGTH)
    guessed = [0] * len(texts)
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        for rows in by_length(encoded, 128):
            batch = pad(tokenizer, [encoded[i] for i in rows])
            top = model(**{key: value.to(device) for key, value in batch.items()})["logits"].argmax(-1)
            for row, label in zip(rows, top.tolist(), strict=True):
                guessed[row] = label
    return guessed


def _prepare(job: Job, backbone: str, data: Dataset) -> tuple[MeanPooledClassifier, Any, Tensor]:
    torch.manual_seed(job.seed)
    local = resolve(backbone)
    model = MeanPooledClassifier(load_encoder(local), len(data.labels))
    index = {label: i for i, label in enumerate(data.labels)}
    return model, load_tokenizer(local), torch.tensor([index[label] for label in data.train["label"]])


def _whole(epochs: float) -> int:
    return max(1, round(epochs))


PEERS = {"seed recipe": seed_recipe, "trainer defaults": trainer_defaults}
