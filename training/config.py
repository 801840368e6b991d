"""Settings of a command: frozen dataclasses from which its flags are generated.

A field's `setting(...)` holds its default, range and SageMaker variable; the string under it is the
flag's help. Values come, strongest first, from the command line, SM_HPS (a job's hyperparameters),
SM_* variables, the default.

Sources: sagemaker-training-toolkit ENVIRONMENT_VARIABLES.md.
"""

import argparse
import ast
import dataclasses
import inspect
import json
import textwrap
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from lambdas.shared.errors import ConfigError

SAGEMAKER_CHECKPOINTS: Final = "/opt/ml/checkpoints"
"""Where SageMaker keeps a spot job's files in step with S3 (CheckpointConfig.LocalPath)."""

Config = TypeVar("Config", bound="Settings")


def setting(
    default: Any = dataclasses.MISSING,
    *,
    variable: str | None = None,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[Any] | None = None,
) -> Any:
    """A field of a configuration.

    Args:
        default: None where a value is needed but may come from `variable`.
        variable: SageMaker's environment variable that replaces the default.
        low: Smallest value allowed.
        high: Largest value allowed.
        choices: The values allowed.
    """
    facts = {"variable": variable, "low": low, "high": high, "choices": choices}
    return dataclasses.field(default=default, metadata=facts)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Fields made with `setting`, checked together."""

    def __post_init__(self) -> None:
        """Refuse values out of range, all of them in one error."""
        problems = [text for text in map(self._problem, dataclasses.fields(self)) if text]
        problems.extend(self.contradictions())
        if problems:
            raise ConfigError("; ".join(problems))

    def contradictions(self) -> list[str]:
        """Sentences about values that do not go together; empty where all is well."""
        return []

    def as_plain(self) -> dict[str, Any]:
        """The values as text and numbers, for JSON and checkpoints."""
        return {
            field.name: str(value) if isinstance(value, Path) else value
            for field in dataclasses.fields(self)
            for value in [getattr(self, field.name)]
        }

    def _problem(self, field: "dataclasses.Field[Any]") -> str | None:
        """What is wrong with one field's value, naming the flag."""
        value, facts = getattr(self, field.name), field.metadata
        if value is None:
            return None
        if facts["choices"] is not None and value not in facts["choices"]:
            return f"{flag(field.name)} is {value}, expected one of {list(facts['choices'])}"
        low, high = facts["low"], facts["high"]
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            limits = f"at least {low}" if high is None else f"{low} to {high}"
            return f"{flag(field.name)} is {value}, expected {limits}"
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig(Settings):
    """What every trainer needs to be told."""

    data: Path = setting(Path("build/prepared"), variable="SM_CHANNEL_TRAINING")  # noqa: RUF009
    """Folder that `python -m training.prepare` wrote."""
    model_dir: Path = setting(Path("build/models"), variable="SM_MODEL_DIR")  # noqa: RUF009
    """Folder for the final weights and the resolved configuration."""
    output_dir: Path | None = setting(None, variable="SM_OUTPUT_DATA_DIR")  # noqa: RUF009
    """Folder for curves and metrics; the model's folder unless given."""
    checkpoint_dir: Path | None = setting(None)  # noqa: RUF009
    """Folder for the state to resume from; /opt/ml/checkpoints on SageMaker, else `checkpoints` in
    the model's folder."""
    backbone_weights: str | None = setting(None)
    """Weights to start the backbone from: a file, or s3://bucket/key. From scratch unless given;
    nothing is ever downloaded from a model hub."""
    image_size: int = setting(380, low=32, high=2048)
    """Height and width in px of the square that images are letterboxed onto."""
    epochs: int = setting(30, low=1)
    """Passes over the training split, at most."""
    max_steps: int = setting(0, low=0)
    """Stop after this many optimizer steps; 0 for no limit."""
    batch_size: int = setting(16, low=1)
    """Images in one optimizer step."""
    learning_rate: float = setting(5e-4, low=0.0)
    """Peak of the one-cycle schedule."""
    backbone_rate_scale: float = setting(1.0, low=0.0)
    """The backbone learns at this multiple of the learning rate."""
    weight_decay: float = setting(0.02, low=0.0)
    """AdamW's; not applied to biases and norms."""
    warmup_fraction: float = setting(0.1, low=0.0, high=1.0)
    """Part of all steps over which the learning rate rises; it then falls as a cosine."""
    clip_norm: float = setting(5.0, low=0.0)
    """Longest gradient, as its norm; 0 for no limit."""
    ema_decay: float = setting(0.0, low=0.0, high=0.99999)
    """Evaluate and keep a running mean of the weights with this decay; 0 for the weights alone."""
    variant: str = setting("unbalanced", choices=("balanced", "unbalanced"))
    """balanced repeats rare classes until they weigh as much as common ones."""
    augment: bool = setting(True)
    """Rotate, shift, scale and change exposure a little while training; never mirror."""
    patience: int = setting(8, low=0)
    """Stop when validation has not improved for this many epochs; 0 for never."""
    precision: str = setting("auto", choices=("auto", "fp32", "bf16", "fp16"))
    """auto: fp32 on the CPU; bf16 on a GPU that has it, else fp16 with loss scaling."""
    device: str = setting("auto", choices=("auto", "cpu", "cuda"))
    """auto: the GPU where there is one."""
    threads: int = setting(0, low=0)
    """CPU threads of torch; 0 leaves torch's choice."""
    seed: int = setting(0, low=0)
    """Of initial weights, order, augmentation and dropout."""
    checkpoint_steps: int = setting(200, low=1)
    """Save the state to resume from every this many steps, and after each epoch."""
    in_memory: bool = setting(True)
    """Keep the letterboxed images in memory: two bytes a pixel."""

    def contradictions(self) -> list[str]:
        """Sentences about values that do not go together."""
        if self.precision == "fp16" and self.device == "cpu":
            return ["--precision is fp16, which needs a GPU; use fp32 or bf16 with --device cpu"]
        return []

    @property
    def curves_dir(self) -> Path:
        """Folder for curves and metrics."""
        return self.output_dir or self.model_dir

    @property
    def state_dir(self) -> Path:
        """Folder for the state to resume from."""
        return self.checkpoint_dir or self.model_dir / "checkpoints"


def parse(
    kind: type[Config],
    arguments: Sequence[str] | None,
    *,
    environment: Mapping[str, str],
    given_by_file: Mapping[str, Any] | None = None,
) -> Config:
    """Read a configuration from the command line and SageMaker's environment.

    Args:
        kind: The dataclass.
        arguments: Without the program's name; None for the process's own.
        environment: For instance `os.environ`.
        given_by_file: Values by name that stand above the environment, below the command line.

    Raises:
        ConfigError: A name is unknown or a value is out of range; all are named.
    """
    values = _from_environment(kind, environment)
    values.update(_named(kind, given_by_file or {}, source="the settings file"))
    given, unknown = _parser(kind).parse_known_args(arguments)
    values.update(vars(given))
    if unknown:
        raise ConfigError(f"unknown arguments: {' '.join(unknown)}; --help lists those there are")
    return kind(**values)


def flag(name: str) -> str:
    """The command line's spelling of a field."""
    return "--" + name.replace("_", "-")


def _from_environment(kind: type[Config], environment: Mapping[str, str]) -> dict[str, Any]:
    """Values from SM_* variables, over which go the job's hyperparameters."""
    types = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        variable = field.metadata["variable"]
        if variable and environment.get(variable):
            values[field.name] = _convert(environment[variable], types[field.name])
    if "SM_MODEL_DIR" in environment:
        values["checkpoint_dir"] = Path(SAGEMAKER_CHECKPOINTS)
    hyperparameters = json.loads(environment.get("SM_HPS") or "{}")
    return values | _named(kind, hyperparameters, source="SM_HPS")


def _named(kind: type[Config], given: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Values by field from names in either spelling and from text, numbers or lists."""
    types = typing.get_type_hints(kind)
    named = {key.replace("-", "_"): value for key, value in given.items()}
    unknown = sorted(set(named) - set(types))
    if unknown:
        raise ConfigError(f"{source} names unknown settings: {', '.join(unknown)}")
    texts = {k: ",".join(map(str, v)) if isinstance(v, list) else str(v) for k, v in named.items()}
    try:
        return {name: _convert(text, types[name]) for name, text in texts.items()}
    except argparse.ArgumentTypeError as error:
        raise ConfigError(f"{source}: {error}") from error


def _parser(kind: type[Config]) -> argparse.ArgumentParser:
    """One option a field, under both spellings: hyperparameters may come with underscores."""
    module = inspect.getmodule(kind)
    parser = argparse.ArgumentParser(
        description=(module.__doc__ or "").partition("\n\n")[0] if module else None,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    types, helps = typing.get_type_hints(kind), field_docs(kind)
    for field in dataclasses.fields(kind):
        facts = field.metadata
        default = f"${facts['variable']} or {field.default}" if facts["variable"] else field.default
        switch: dict[str, Any] = {"nargs": "?", "const": True} if types[field.name] is bool else {}
        parser.add_argument(
            *dict.fromkeys((flag(field.name), "--" + field.name)),
            dest=field.name,
            type=lambda text, to=types[field.name]: _convert(text, to),
            choices=facts["choices"],
            help=f"{helps[field.name]} [{default}]".replace("%", "%%"),
            **switch,
        )
    return parser


def field_docs(kind: type) -> dict[str, str]:
    """The string under each field, in one line; a parent's fields come first."""
    docs: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(owner):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        assert isinstance(body, ast.ClassDef)  # the source of a class is a class
        for field, text in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                docs[ast.unparse(field.target)] = " ".join(ast.literal_eval(text.value).split())
    return docs


def _convert(text: str, kind: Any) -> Any:
    """A value from text: bool, int, float, str, Path, texts with commas, any of them or None."""
    if typing.get_origin(kind) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    kind = next((part for part in typing.get_args(kind) if part is not type(None)), kind)
    if kind is bool:
        if text.lower() not in {"true", "false", "1", "0"}:
            raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
        return text.lower() in {"true", "1"}
    try:
        return kind(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no {kind.__name__}") from error
