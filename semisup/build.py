"""One gate: a composed or saved config becomes checked settings, and these become the objects of a run.

The command line, `reproduce`, `predict` and the tests all come through `check`. Types come from the
dataclasses (merged by OmegaConf), ranges from their own checks, and whatever is wrong is a SettingError
that names the key as a user types it.
"""

import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy
import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from semisup import registry
from semisup.computing import MOST_SHAPES, can_compile, must_be_there, precision_of
from semisup.dataset import SPLITS, Data, Dataset
from semisup.errors import SettingError, in_range, nearest, one_of
from semisup.identity import Plain, run_id
from semisup.images.stored import Stored
from semisup.labeler import LabelerSettings
from semisup.method import ByRounds
from semisup.model import ModelSettings
from semisup.room import limit_bytes
from semisup.secrets import secret_in
from semisup.shapes import Images
from semisup.state import Problem, Settings, TrainSettings
from semisup.team import own_device

SLUG = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,99}")
LARGE_SIDE, LARGE_BYTES = 256, 2**29  # of images and weights: more is not tried in memory before a run
RESERVED = ("wandb",)  # outputs/wandb is W&B's own folder


@dataclass(frozen=True)
class CheckpointSettings:
    """`every_seconds` >= 0: the state is saved after the first step or epoch that ends this long after the last save;
    `every_steps` >= 1, or null: also after every so many steps."""

    every_seconds: float
    every_steps: int | None

    def __post_init__(self) -> None:
        in_range("every_seconds", self.every_seconds, 0)
        in_range("every_steps", self.every_steps, 1)


@dataclass(frozen=True)
class SweepSettings:
    """`control`: also train, for each run of a sweep, its control and its baseline; `fail_fast`: start no further run
    once one has failed; `share_warm_up`: what several runs have in common until the pool is labeled is made once."""

    control: bool
    fail_fast: bool
    share_warm_up: bool


@dataclass(frozen=True)
class CollapseSettings:
    """When the pseudo-labels have run together into few classes: both in [0, 1], or null = never.

    They are compared with the entropy of the classes that are kept, over that of the classes of the validation set.
    `warn_below`: a warning, once; `stop_below`: the run stops, exit status 3.
    """

    warn_below: float | None
    stop_below: float | None

    def __post_init__(self) -> None:
        in_range("warn_below", self.warn_below, 0, 1)
        in_range("stop_below", self.stop_below, 0, 1)


@dataclass(frozen=True)
class RunSettings:
    """Every key of train.yaml that is in no group and no section."""

    name: str
    seed: int
    output_root: str
    threads: int
    device: str
    precision: str
    channels_last: bool
    compile: bool
    deterministic: bool
    plots: bool

    def __post_init__(self) -> None:
        if not SLUG.fullmatch(self.name) or self.name in RESERVED:
            allowed = (
                "must start with a letter, hold letters, digits, dots, - and _ only (at most 100), and not be wandb"
            )
            raise SettingError("name", self.name, allowed)
        in_range("seed", self.seed, 0, 2**32 - 1)
        in_range("threads", self.threads, 1, 1024)
        one_of("precision", self.precision, ("auto", "float32", "bfloat16"))
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise SettingError("device", self.device, "must be auto, cpu, cuda or cuda:<number>")


AUTO = {"device": ("cpu", "cuda"), "precision": ("float32", "bfloat16")}
"""Keys that may say `auto`, and all that it may mean: `_normal` puts there what it means on this machine."""


NODES = {group: group for group in registry.GROUPS} | {"weak": "augment"}
"""Every node of a config that names an option, and the group that the option is of."""

SECTIONS = {
    "train": TrainSettings,
    "labeler": LabelerSettings,
    "collapse": CollapseSettings,
    "checkpoint": CheckpointSettings,
    "sweep": SweepSettings,
}


@dataclass(frozen=True)
class Checked:
    """A config that passed the gate.

    plain: all of it as plain data, resolved: what config.yaml holds
    elsewhere: the run is not for this machine, of whose devices and memory nothing is asked
    """

    plain: Plain
    run: RunSettings
    collapse: CollapseSettings
    checkpoint: CheckpointSettings
    sweep: SweepSettings
    settings: Settings
    dataset: Dataset
    tracking: Any
    elsewhere: bool = False

    @property
    def id(self) -> str:
        return run_id(self.plain)


def check(config: DictConfig | Plain, *, elsewhere: bool = False) -> Checked:
    """The gate.

    Args:
        elsewhere: the run is for another machine, as a job of a cluster is; whether this one could is not asked.

    Raises:
        SettingError: names key, value, what is allowed and the nearest name.
    """
    plain = _normal(_resolved(config))
    nodes = [*NODES, *SECTIONS]
    known = [*nodes, *RunSettings.__dataclass_fields__]
    for key in plain:
        if key not in known:
            raise SettingError(key, plain[key], "no such key", nearest(key, [*known, *keys_of(plain)]))
    for key in nodes:
        if not isinstance(plain.get(key), dict):
            allowed = f"must be one of {', '.join(registry.names(NODES[key]))}" if key in NODES else "must be a section"
            raise SettingError(key, plain.get(key), allowed)
    run = _merged(RunSettings, {key: value for key, value in plain.items() if key not in nodes})
    groups = {name: _option(name, plain[name]) for name in NODES}
    sections = {name: _section(name, cls, plain[name]) for name, cls in SECTIONS.items()}
    if not elsewhere:
        _this_machine_has_it(run)
    plain = _as_typed(plain, run, groups | sections)
    if groups["method"].needs_average and sections["train"].ema_decay is None:
        name = plain["method"]["name"]
        raise SettingError("train.ema_decay", None, f"must be given with method={name}, such as 0.99")
    dataset, tracking = groups.pop("dataset"), groups.pop("tracking")
    train, labeler = sections.pop("train"), sections.pop("labeler")
    if run.compile and getattr(groups["method"], "kept_only", False):
        allowed = "goes not with method.kept_only=true, whose passes are of another size at every step"
        raise SettingError("compile", run.compile, allowed)
    how = {name: getattr(run, name) for name in ("seed", "precision", "channels_last", "compile")}
    settings = Settings(**how, train=train, labeler=labeler, **groups)
    return Checked(plain, run, **sections, settings=settings, dataset=dataset, tracking=tracking, elsewhere=elsewhere)


def _this_machine_has_it(run: RunSettings) -> None:
    """Raise SettingError where the device that is asked for is not there, or a compiler."""
    must_be_there(run.device)
    if run.compile:
        can_compile(run.device)


def _resolved(config: DictConfig | Plain) -> Plain:
    """Plain data without interpolation; `???` is a SettingError. Saved data with an interpolation is refused."""
    if isinstance(config, DictConfig):
        missing = sorted(OmegaConf.missing_keys(config))
        try:
            plain: Any = OmegaConf.to_container(config, resolve=True)
        except OmegaConfBaseException as error:
            raise SettingError(error.full_key or "config", "${...}", _first_line(error)) from None
        for key, (value, _) in _leaves(plain, plain):
            if name := secret_in(value):
                raise SettingError(key, f"${name}", "is a secret, and settings are saved and shown")
    else:
        plain = config
        refuse_interpolations(plain)
        missing = sorted(key for key, (value, _) in _leaves(plain, plain) if value == "???")
    if missing:
        raise SettingError(missing[0], "???", "must be given")
    return {str(key): value for key, value in plain.items()}


def refuse_interpolations(plain: Plain) -> None:
    """Raise SettingError if a value of a saved config stands for another."""
    for key, (value, _) in _leaves(plain, plain):
        if isinstance(value, str) and "${" in value:
            raise SettingError(key, value, "a saved config holds values, and no interpolations")


def _normal(plain: Plain) -> Plain:
    """One way to write each run: `steps` replaces `epochs`, a root is absolute, and `auto` gives way to the device that
    is there and to the precision that it is fastest with."""
    train = plain.get("train")
    if isinstance(train, dict) and train.get("steps") is not None:
        plain = plain | {"train": train | {"epochs": None}}
    dataset = plain.get("dataset")
    if isinstance(dataset, dict) and isinstance(dataset.get("root"), str):
        plain = plain | {"dataset": dataset | {"root": os.path.abspath(os.path.expanduser(dataset["root"]))}}
    if plain.get("device") == "auto":
        plain = plain | {"device": "cuda" if torch.cuda.is_available() else "cpu"}
    if plain.get("precision") == "auto":
        plain = plain | {"precision": precision_of(str(plain.get("device")).partition(":")[0])}
    return plain


def _as_typed(plain: Plain, run: RunSettings, nodes: dict[str, Any]) -> Plain:
    """The same config with every value as its field has it: `strength: 1` and `strength: 1.0` are one run."""
    typed: Plain = {}
    for key, value in plain.items():
        fields = asdict(nodes[key]) if key in nodes else {}
        typed[key] = {name: fields.get(name, value[name]) for name in value} if key in nodes else getattr(run, key)
    return typed


def option(key: str, node: Plain) -> Any:
    """The settings object of one node of a saved config, where the others do not matter.

    Raises:
        SettingError: as `check`.
    """
    return _option(key, _resolved(node))


def _option(key: str, node: Plain) -> Any:
    """The settings object of a group's node: {name: fixed, tau: 0.9} -> Fixed(tau=0.9)."""
    group = NODES[key]
    if not isinstance(node.get("name"), str):
        raise SettingError(f"{key}.name", node.get("name"), f"must be one of {', '.join(registry.names(group))}")
    try:
        cls = registry.settings_class(group, node["name"])
    except SettingError as error:
        raise error.within(key) from None
    try:
        return _section(key, cls, {name: value for name, value in node.items() if name != "name"})
    except SettingError as error:
        raise _of_another_option(error, key, node["name"]) from None


def _of_another_option(error: SettingError, key: str, name: str) -> SettingError:
    """The same error; of a key that other options of the group have, it says which, and how to take it out. An
    experiment that sets the key of one threshold does so too where another is chosen."""
    field = error.key.removeprefix(f"{key}.")
    options: dict[str, Any] = {each: registry.settings_class(NODES[key], each) for each in registry.names(NODES[key])}
    others = [each for each, option in options.items() if field in option.__dataclass_fields__]
    if not error.allowed.startswith("no such key") or not others:
        return error
    allowed = f"no such key of {key}={name}, but of {', '.join(others)}; ~{error.key} takes it out"
    return SettingError(error.key, error.value, allowed, error.nearest)


def _section(name: str, cls: type, node: Plain) -> Any:
    """The same without a choice; an error's key gains the section's name."""
    try:
        return _merged(cls, node)
    except SettingError as error:
        raise error.within(name) from None


def _merged(cls: type, values: Plain) -> Any:
    """`values` merged onto the dataclass by OmegaConf, then strictly: none missing, none of another kind, finite."""
    schema = OmegaConf.structured(cls)
    try:
        merged = OmegaConf.merge(schema, values)
    except ConfigKeyError as error:
        key = error.full_key or str(error.key)
        fields = cls.__dataclass_fields__  # type: ignore[attr-defined]
        raise SettingError(key, _at(values, key), "no such key", nearest(key, fields)) from None
    except OmegaConfBaseException as error:
        key = error.full_key or str(error.key)
        raise SettingError(key, _at(values, key), _wanted(cls, key)) from None
    assert isinstance(merged, DictConfig)
    missing = sorted(OmegaConf.missing_keys(merged))
    if missing:
        raise SettingError(missing[0], None, "must be given")
    container: Any = OmegaConf.to_container(merged)
    for key, (before, after) in _leaves(values, container):
        _same_kind(key, before, after)
    return cls(**container)


KINDS = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "str": "text",
    "list[int]": "a list of whole numbers",
}


def _wanted(cls: Any, key: str) -> str:
    """What a field can be, in words: `int | None` -> "must be a whole number or null"."""
    type_ = cls.__dataclass_fields__[key.partition("[")[0]].type
    name = type_.__name__ if isinstance(type_, type) and not hasattr(type_, "__args__") else str(type_)
    if "[" in key:
        name = name.removeprefix("list[").removesuffix("]")
    return "must be " + " or ".join(
        KINDS.get(part.strip(), part.strip()) for part in name.replace("None", "null").split("|")
    )


def _same_kind(key: str, before: Any, after: Any) -> None:
    """OmegaConf turns 1e3 into the name '1000.0' and 'nan' into a number; nothing is turned here but 1 into 1.0."""
    same = type(before) is type(after) or (type(before) is int and type(after) is float)
    if not same:
        wanted, given = KINDS.get(type(after).__name__), KINDS.get(type(before).__name__)
        raise SettingError(key, before, f"must be {wanted}, and this is {given}")
    if isinstance(after, float) and not math.isfinite(after):
        raise SettingError(key, after, "must be a finite number")


def _leaves(before: Any, after: Any, prefix: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before:
            yield from _leaves(before[key], after[key], f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(before, list) and isinstance(after, list):
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from _leaves(*pair, f"{prefix}[{number}]")
    else:
        yield prefix, (before, after)


def _at(values: Any, key: str) -> Any:
    """The value at `key`, such as `widths[1]`; a list where that is as far as the key leads."""
    for part in key.replace("[", ".").replace("]", "").split("."):
        if isinstance(values, dict) and part in values:
            values = values[part]
        elif isinstance(values, list) and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
    return values


def keys_of(plain: Any, prefix: str = "") -> list[str]:
    """Every dotted key of nested plain data."""
    if not isinstance(plain, dict):
        return []
    own = [f"{prefix}{key}" for key in plain]
    return own + [each for key, value in plain.items() for each in keys_of(value, f"{prefix}{key}.")]


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


# The data of a run --------------------------------------------------------------------------------------------------


def fit(checked: Checked, classes: Sequence[str], counts: Mapping[str, int], channels: int) -> None:
    """Raise SettingError where settings and data do not go together; nothing needs to be decoded yet."""
    labeled, batch_size = counts["labeled"], checked.settings.train.batch_size
    if batch_size > labeled:
        raise SettingError("train.batch_size", batch_size, f"must be at most the number of labeled images, {labeled}")
    if counts["validation"] == 0:
        raise SettingError("dataset", checked.plain["dataset"]["name"], "leaves no image for validation")
    if checked.settings.method.uses_unlabeled and counts["unlabeled"] == 0:
        name = checked.plain["method"]["name"]
        raise SettingError("method", name, "needs unlabeled images, and there are none; method=supervised does not")
    size, name = checked.dataset.size, checked.plain["model"]["name"]
    _fits_in_memory("dataset.size", size, sum(counts.values()) * channels * size**2, "the images", checked)
    weights = bytes_of_weights(checked, channels, len(classes))
    _fits_in_memory("model", name, 2 * weights, "its weights and their gradients", checked)
    refusal, takes_one = _tried(checked.settings.model, channels, len(classes), size)
    if refusal is not None:
        raise SettingError("dataset.size", size, f"model={name} cannot take it: {refusal}")
    if not takes_one and (batch_size == 1 or labeled % batch_size == 1):
        allowed = f"leaves a batch of one of {labeled} labeled images, which BatchNorm in model={name} cannot take"
        raise SettingError("train.batch_size", batch_size, allowed)
    _compiles_often(checked)


def _compiles_often(checked: Checked) -> None:
    """Warn where every labeling of the pool can mean another compilation of the model: the pseudo-labeled images of an
    epoch end in a batch of what is left, and a model is compiled for every size of a batch.

    Raises:
        SettingError: there could be more sizes than are compiled.
    """
    method, name = checked.settings.method, checked.plain["method"]["name"]
    if not checked.run.compile or not isinstance(method, ByRounds) or not method.ever_labels():
        return
    sizes = checked.settings.train.batch_size + 1
    if sizes > MOST_SHAPES // 2:
        allowed = (
            f"at most {MOST_SHAPES // 2 - 1} with compile=true and method={name}, whose batches have so many sizes"
        )
        raise SettingError("train.batch_size", sizes - 1, allowed)
    warnings.warn(
        f"compile=true: with method={name} the last batch of an epoch has another size after each labeling, and each "
        f"size is compiled anew, up to {sizes} times; methods that label at every step have one size",
        stacklevel=3,
    )


_trials: dict[tuple[str, int, int, int], tuple[str | None, bool]] = {}
"""What came of `_tried`: members of a sweep mostly have the same model."""


def _tried(model: ModelSettings, channels: int, num_classes: int, size: int) -> tuple[str | None, bool]:
    """Look at two images, and at one in training: what the network says against such images, and whether one is enough.

    Real tensors without first weights, where it is not large: the meta device would import 2 s of torch's compiler.
    """
    key = (repr(model), channels, num_classes, size)
    if key not in _trials:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            _trials[key] = _try(model, channels, num_classes, size)
    return _trials[key]


def _try(model: ModelSettings, channels: int, num_classes: int, size: int) -> tuple[str | None, bool]:
    try:
        network = _without_numbers(model, channels, num_classes, size)
        device = torch.device("meta")
        if size <= LARGE_SIDE and _bytes(network) <= LARGE_BYTES:
            device = torch.device("cpu")
            with _NoFirstWeights():
                network = model.build(channels, num_classes, size, pretrained=False)
        network.eval()(torch.zeros(2, channels, size, size, device=device))
    except (RuntimeError, AssertionError, IndexError) as error:
        return _first_line(error), True
    try:
        network.train()(torch.zeros(1, channels, size, size, device=device))
    except ValueError:
        return None, False
    return None, True


class _NoFirstWeights(TorchFunctionMode):
    """In here no random numbers are drawn for weights: they stay what the memory held."""

    DRAWS = (Tensor.normal_, Tensor.uniform_, Tensor.erfinv_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func in self.DRAWS else func(*args, **(kwargs or {}))


def _fits_in_memory(key: str, value: object, bytes_: int, what: str, checked: Checked) -> None:
    """Raise SettingError where something takes more than all the memory that there is."""
    if checked.elsewhere:
        return
    device = torch.device(checked.run.device)
    there = limit_bytes() if device.type == "cpu" else torch.cuda.get_device_properties(device).total_memory
    if bytes_ > there:
        allowed = f"{what} take {bytes_ / 1e9:.3g} GB of memory, and there are {there / 1e9:.3g}"
        raise SettingError(key, value, allowed)


def bytes_of_weights(checked: Checked, channels: int, num_classes: int) -> int:
    """What the model's weights and buffers take in memory, without taking it.

    Raises:
        SettingError: there can be no such model.
    """
    name = checked.plain["model"]["name"]
    try:
        network = _without_numbers(checked.settings.model, channels, num_classes, checked.dataset.size)
    except (RuntimeError, AssertionError, IndexError, OverflowError) as error:
        raise SettingError("model", name, f"cannot be built ({_first_line(error)})") from None
    return _bytes(network)


def _bytes(network: nn.Module) -> int:
    return sum(value.nbytes for value in network.state_dict().values())


def _without_numbers(model: ModelSettings, channels: int, num_classes: int, size: int) -> nn.Module:
    """The network on the meta device, on which work costs nothing."""
    try:
        with torch.device("meta"):
            return model.build(channels, num_classes, size, pretrained=False)
    except NotImplementedError:  # torchvision's regnets compute their widths by tensors
        with torch.device("cpu"):
            return model.build(channels, num_classes, size, pretrained=False).to("meta")


def fair(checked: Checked) -> None:
    """Raise SettingError where a run's control could not have its learning rates.

    A control is given as many steps as the run took. Where an epoch grows with the pseudo-labels, a schedule over
    epochs is another one over steps.
    """
    factors = {checked.settings.schedule.factor(share / 8) for share in range(9)}
    by_epochs = checked.settings.train.steps is None and checked.settings.method.uses_unlabeled
    if checked.sweep.control and by_epochs and len(factors) > 1:
        allowed = "over train.epochs gives the control other learning rates; set train.steps, or sweep.control=false"
        raise SettingError("schedule", checked.plain["schedule"]["name"], allowed)


def problem(checked: Checked, data: Data) -> Problem:
    """The data on the run's device."""
    device = own_device(checked.run.device)
    images = {split: resident(getattr(data, split), device) for split in SPLITS}
    return Problem(**images, hidden_targets=data.hidden_targets, num_classes=len(data.classes), device=device)


def resident(images: Images, device: torch.device) -> Images:
    """The images on the device; on a GPU those that take more than half of its free memory stay in pinned memory."""
    pixels = images.pixels
    if device.type == "cuda" and isinstance(pixels, Tensor) and pixels.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
        everything = numpy.arange(len(images))
        held = Stored([pixels.pin_memory().numpy()], numpy.zeros(len(images), numpy.uint8), everything, device)
        return Images(held, images.targets.to(device), images.paths)
    return images.to(device)
