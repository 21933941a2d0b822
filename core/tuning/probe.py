"""Start the head where a linear probe would end.

Fine-tuning from a random head first distorts the pre-trained features; fitting the head alone on the frozen
features and only then moving the rest keeps them (LP-FT, Kumar et al. 2022,
https://arxiv.org/abs/2202.10054) and saves epochs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def fit_head(
    head: nn.Linear,
    features: Tensor,
    targets: Tensor,
    strength: float = 10.0,
    prior: Tensor | None = None,
    iterations: int = 100,
) -> None:
    """Set ``head`` to the L2-regularised (multinomial or per-label) logistic regression on ``features``.

    ``features`` [n, d] float32; ``targets`` class indices [n] or 0/1 indicators [n, c]. ``strength`` is the
    inverse regularisation on features scaled to mean norm 1, as C in scikit-learn. The weights are drawn to ``prior``
    [c, d] (for features of that scale) instead of zero when it is given.
    """
    scale = features.norm(dim=1).mean().clamp(min=1e-9)
    inputs = features / scale
    middle = torch.zeros_like(head.weight) if prior is None else prior.to(head.weight)
    weight = middle.detach().clone().requires_grad_()
    bias = torch.zeros_like(head.bias, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=iterations, line_search_fn="strong_wolfe")
    penalty = 1.0 / (2 * strength * len(features))

    def closure() -> Tensor:
        solver.zero_grad()
        logits = F.linear(inputs, weight, bias)
        if targets.ndim == 1:
            loss = F.cross_entropy(logits, targets)
        else:
            loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(targets)
        loss = loss + penalty * (weight - middle).square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        solver.step(closure)
    with torch.no_grad():
        head.weight.copy_(weight / scale)
        head.bias.copy_(bias)
