"""BatchNorm's statistics, measured for the weights as they are.

The running ones are a mean over weights that are gone, more so where a run is short or its weights
are a mean themselves; a network evaluated with them can answer worse than the one that was trained,
and its activations have outliers that eight bits cannot hold.

Source: Wu and Johnson, Rethinking "Batch" in BatchNorm, 2021, section 3.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def measure_norms(
    model: nn.Module, inputs: Iterable[Tensor], *, run: Callable[[Tensor], object] | None = None
) -> int:
    """Replace the running mean and variance of every BatchNorm by those over some inputs.

    Everything else stays in evaluation mode, dropout too: so will it be when the statistics serve.

    Args:
        model: Changed in place; left in evaluation mode. Without inputs it stays as it is.
        inputs: Batches as the model takes them, each large enough for a variance.
        run: What to call with each; the model unless given.

    Returns:
        How many batches were seen.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    seen = 0
    try:
        for batch in inputs:
            if not seen:
                for norm in norms:
                    norm.reset_running_stats()
                    norm.momentum = None  # the plain mean over all batches
                    norm.train()
            (run or model)(batch)
            seen += 1
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
    return seen
