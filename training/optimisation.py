"""One optimizer step and what belongs to it: precision, schedule, clipping, running mean."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from lambdas.shared.errors import ConfigError, CxrError
from training.config import TrainingConfig

FINAL_RATE: Final = 0.01
"""The learning rate ends at this part of its peak."""

EMA_WARMUP: Final = 10
"""The running mean's decay starts at 1 / EMA_WARMUP and rises: early weights are soon forgotten."""


class NonFiniteLossError(CxrError):
    """The loss is NaN or infinite: going on would only write it into every weight."""


class RunningMean:
    """Exponential mean of a model's weights and buffers.

    Args:
        model: Whose tensors are followed.
        decay: Weight of the past, in (0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.mean = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the model as it is now; whole numbers are copied."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (EMA_WARMUP + self.updates))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.mean[name].lerp_(value, 1 - decay)
            else:
                self.mean[name].copy_(value)

    @contextmanager
    def swapped_in(self, model: nn.Module) -> Iterator[None]:
        """Within, the model holds the mean; afterwards its own weights again."""
        own = {name: value.detach().clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self.mean)
        try:
            yield
        finally:
            model.load_state_dict(own)


class Optimisation:
    """AdamW under a one-cycle schedule, in the precision that the device does best.

    Args:
        model: Trained in place.
        config: Rates, decay, clipping, precision.
        device: Where the model is.
        total_steps: Of the whole run; the schedule ends there.
        backbone: Prefix of the names of parameters that learn at `backbone_rate_scale`.
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainingConfig,
        *,
        device: torch.device,
        total_steps: int,
        backbone: str | None = None,
    ) -> None:
        self.model = model
        self.steps = 0
        self._config = config
        self._device = device
        self._dtype = autocast_type(config.precision, device)
        self.optimizer = torch.optim.AdamW(
            _groups(model, config, backbone), lr=config.learning_rate, betas=(0.9, 0.99)
        )
        self._peaks = [group["lr"] for group in self.optimizer.param_groups]
        self._total_steps = total_steps
        # a scaler that is off passes everything through
        self.scaler = torch.amp.GradScaler(
            device.type, enabled=device.type == "cuda" and self._dtype is torch.float16
        )
        self.ema = RunningMean(model, config.ema_decay) if config.ema_decay else None

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return self._config.learning_rate * self._cycle()

    def autocast(self) -> torch.autocast:
        """Context in which the forward pass runs."""
        enabled = self._dtype is not torch.float32
        return torch.autocast(
            self._device.type, self._dtype if enabled else torch.bfloat16, enabled=enabled
        )

    def step(self, loss: Tensor) -> float:
        """Take one step down the loss and return its value.

        Raises:
            NonFiniteLossError: The loss is NaN or infinite; no weight has been touched.
        """
        value = float(loss.detach())
        if not math.isfinite(value):
            raise NonFiniteLossError(
                f"the loss is {value} at step {self.steps + 1} (learning rate {self.rate:.2e}); "
                "lower --learning-rate or --clip-norm, or use --precision fp32"
            )
        cycle = self._cycle()
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * cycle
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        if self._config.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self._config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.steps += 1
        if self.ema:
            self.ema.update(self.model)
        return value

    @contextmanager
    def best_weights(self) -> Iterator[nn.Module]:
        """The model with the weights to evaluate: the running mean where there is one."""
        if self.ema is None:
            yield self.model
            return
        with self.ema.swapped_in(self.model):
            yield self.model

    def _cycle(self) -> float:
        """The next step's learning rate as a part of its peak. No state but the count of steps."""
        warmup = self._config.warmup_fraction
        return one_cycle(self.steps, total=self._total_steps, warmup=warmup)

    def state_dict(self) -> dict[str, Any]:
        """All that changes from step to step, the model included."""
        return {
            "steps": self.steps,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": {"updates": self.ema.updates, "mean": self.ema.mean} if self.ema else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned.

        Raises:
            ConfigError: The state was saved with or without a running mean, unlike this run.
        """
        if (state["ema"] is None) != (self.ema is None):
            raise ConfigError("--ema-decay differs from the run to resume; use another folder")
        self.steps = state["steps"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.ema:
            self.ema.updates = state["ema"]["updates"]
            for name, value in state["ema"]["mean"].items():
                self.ema.mean[name].copy_(value)


def one_cycle(step: int, *, total: int, warmup: float) -> float:
    """Learning rate as a part of its peak: a straight rise, then a cosine to `FINAL_RATE`."""
    rising = max(1.0, warmup * total)
    if step < rising:
        return (step + 1) / (rising + 1)
    done = min(1.0, (step - rising) / max(1.0, total - rising))
    return FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * done)) / 2


def choose_device(name: str) -> torch.device:
    """The device of `--device`.

    Raises:
        ConfigError: A GPU is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device is cuda, but torch sees no GPU; use --device cpu")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def autocast_type(precision: str, device: torch.device) -> torch.dtype:
    """The type that matrix products run in."""
    if precision == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def _groups(model: nn.Module, config: TrainingConfig, backbone: str | None) -> list[dict[str, Any]]:
    """Parameters by learning rate and by whether they decay (matrices and kernels do)."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        slow = backbone is not None and name.startswith(backbone)
        rate = config.learning_rate * (config.backbone_rate_scale if slow else 1.0)
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": p, "lr": rate, "weight_decay": d} for (rate, d), p in groups.items()]
