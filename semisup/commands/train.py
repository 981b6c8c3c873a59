"""`semisup train`: Hydra composes and sweeps; every run comes through the one gate.

Before Hydra starts, what was typed is composed and checked once, and for a sweep once more for every swept
value, so that a mistake costs a second and not a night.
"""

import json
import re
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from semisup.errors import DataError, SettingError, nearest, show

if TYPE_CHECKING:
    from semisup.build import Checked
    from semisup.commands._run import Outcome
    from semisup.dataset import Dataset, Survey

HALT = "halt.json"  # in a sweep's folder: no further run is to be started
MOST_CHECKS = 64  # swept values that are checked before the first run

FLAGS_FOR_HYDRA = (
    "--help",
    "-h",
    "--hydra-help",
    "--version",
    "--cfg",
    "-c",
    "--info",
    "-i",
    "--shell-completion",
    "-sc",
)


def config_folder() -> Path:
    """`conf/`: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    return package / "conf" if (package / "conf").is_dir() else package.parent / "conf"


def train(words: list[str]) -> int:
    """Everything after `semisup train`; returns the exit status."""
    if any(word.split("=")[0] in FLAGS_FOR_HYDRA for word in words):
        _hydra(words)
        return 0
    overrides = [word for word in words if not word.startswith("-")]
    flags = [word for word in words if word.startswith("-")]
    if any(word not in ("-m", "--multirun") for word in flags):
        return _refuse(f"{' '.join(flags)}: not a flag of semisup train; settings are written key=value, -m sweeps")
    try:
        asked = "-m" in flags or "--multirun" in flags
        config, surveyed = _check_at_the_door(overrides, asked)
        if sweep := asked or sweeps(config):
            _read_once(surveyed)
    except (SettingError, DataError) as error:
        return _refuse(str(error))
    return _sweep(words, config) if sweep else _one(config)


def _refuse(message: str) -> int:
    print(f"semisup train: {message}", file=sys.stderr)
    return 2


def _hydra(words: list[str]) -> None:
    sys.argv = ["semisup train", *words]
    hydra.main(config_path=str(config_folder()), config_name="train", version_base="1.3")(job)()


# Composing and checking ---------------------------------------------------------------------------------------------


def _check_at_the_door(overrides: list[str], asked: bool) -> "tuple[DictConfig, dict[Dataset, Survey]]":
    """Compose and check what was typed.

    Returns:
        the composed config (with Hydra's own part) for the first of all swept values, and every data set that is named.

    Raises:
        SettingError: with the nearest key or name where one is near.
        DataError: the folders are not what the settings say.
    """
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        choices = dict(_choices(word) for word in overrides)
        config = _composed([values[0] for values in choices.values() if values])
        if not asked and not sweeps(config):
            _one_value_each(choices)
        if sweeps(config):
            swept = (config.hydra.sweeper.get("params") or {}).items()
            choices = dict(_choices(f"{key}={value}") for key, value in swept) | choices
            config = _composed([values[0] for values in choices.values() if values])
        surveyed: dict[Dataset, Survey] = {}
        check = _check_swept if asked or sweeps(config) else _check_one
        check(config, surveyed)
        others = [(key, value) for key, values in choices.items() for value in values[1:]]
        for key, value in others[:MOST_CHECKS]:
            one = {**{each: values[0] for each, values in choices.items() if values}, key: value}
            check(_composed(list(one.values())), surveyed)
    return config, surveyed


def _check_one(config: DictConfig, surveyed: "dict[Dataset, Survey]") -> "Checked":
    """Settings among themselves, then settings and data; nothing is decoded, and each data set is surveyed once."""
    from semisup import build

    checked = build.check(_ours(config))
    if checked.dataset not in surveyed:
        surveyed[checked.dataset] = checked.dataset.survey()
    survey = surveyed[checked.dataset]
    build.fit(checked, survey.classes, survey.counts, survey.channels)
    return checked


def _check_swept(config: DictConfig, surveyed: "dict[Dataset, Survey]") -> None:
    """The same for a member of a sweep, whose control must be fair."""
    from semisup import build

    build.fair(_check_one(config, surveyed))


def sweeps(config: DictConfig) -> bool:
    """Whether the config itself asks for a sweep (`hydra.mode: MULTIRUN` in an experiment)."""
    return str(config.hydra.mode) == "RunMode.MULTIRUN"


def _one_value_each(choices: dict[str, list[str]]) -> None:
    for key, values in choices.items():
        if len(values) != 1:
            raise SettingError(key, ",".join(value.partition("=")[2] for value in values), "several values need -m")


def _choices(word: str) -> tuple[str, list[str]]:
    """The key of an override, and the override once for each of its swept values: `a=1,2` -> a, [a=1, a=2].

    Empty where only a sweeper knows the values, as of `interval(0, 1)`.
    """
    key = word.partition("=")[0]
    try:
        override = OverridesParser.create().parse_override(word)
        if not override.is_sweep_override():
            return key, [word]
        if not override.is_discrete_sweep():
            return key, []
        return key, [f"{key}={value}" for value in override.sweep_string_iterator()]
    except HydraException as error:
        raise SettingError("override", word, f"not of the form key=value ({str(error).splitlines()[0]})") from None


def _read_once(surveyed: "dict[Dataset, Survey]") -> None:
    """Fill the cache before the jobs start, which then only open it; bad images are said here, once."""
    from semisup.commands._progress import Bars
    from semisup.commands._run import quietly

    quietly()
    with Bars() as bars:
        for dataset, survey in surveyed.items():
            dataset.read(survey, bars.watch)


def _ours(config: DictConfig) -> DictConfig:
    """The composed config without Hydra's own part, which its interpolations may still ask for."""
    mine = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    assert isinstance(mine, DictConfig)
    return mine


def _composed(overrides: list[str]) -> DictConfig:
    try:
        return hydra.compose("train", overrides=overrides, return_hydra_config=True)
    except (HydraException, ValueError) as error:
        raise _translated(str(error), overrides) from None


def defaults(options: list[str]) -> dict[str, Any]:
    """What `semisup train OPTIONS` composes, unchecked, as plain data; ??? where a value must be given.

    Raises:
        SettingError: there is no such option.
    """
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        plain: Any = OmegaConf.to_container(_ours(_composed(options)), resolve=True)
    return {str(key): value for key, value in plain.items()}


def _translated(message: str, overrides: list[str]) -> SettingError:
    """Hydra's refusal as ours, with the nearest name."""
    unknown = re.search(r"Could not override '([^']+)'", message) or re.search(
        r"Key '([^']+)' is not in struct", message
    )
    if unknown:
        key = unknown[1]
        value = next((each.partition("=")[2] for each in overrides if each.partition("=")[0].lstrip("+~") == key), "")
        return SettingError(key, value, "no such key", nearest(key, _known_keys()))
    choice = re.search(r"Could not find '([^']+)/([^/']+)'", message)
    if choice:
        listed = message.partition("Available options in")[2].partition("Config search path")[0]
        names = [line.strip() for line in listed.splitlines()[1:] if line.strip()]
        return SettingError(choice[1], choice[2], f"must be one of {', '.join(names)}", nearest(choice[2], names))
    return SettingError("config", " ".join(overrides), " ".join(message.split()))


def _known_keys() -> list[str]:
    """Every key of the defaults, and every group."""
    from semisup.build import keys_of

    plain = OmegaConf.to_container(_ours(hydra.compose("train", return_hydra_config=True)), resolve=False)
    return keys_of(plain)


# Running ------------------------------------------------------------------------------------------------------------


def _one(config: DictConfig) -> int:
    from semisup import build
    from semisup.commands._progress import Bars
    from semisup.commands._run import quietly, run

    quietly()
    checked = build.check(_ours(config))
    with Bars() as bars:
        outcome = run(checked, bars, of_a_sweep=False)
    if outcome.status != "done":
        said = "" if outcome.status == "refused" else f"{outcome.status}: "
        print(f"semisup train: {said}{outcome.message}", file=sys.stderr)
        return outcome.exit_code
    summary = outcome.summary or {}
    if checked.settings.method.uses_unlabeled and not summary.get("pseudo/coverage"):
        why = "nothing reached the threshold" if "pseudo/coverage" in summary else "validation never passed method.gate"
        print(f"no pseudo-label was used: {why}", file=sys.stderr)
    figures = [f"{name} {summary[name]:.4f}" for name in ("best/val/accuracy", "test/accuracy") if name in summary]
    print(f"{'already done' if outcome.kept else 'done'}: {outcome.folder}  {'  '.join(figures)}")
    return 0


def job(config: DictConfig) -> float | None:
    """One member of a sweep, in whatever process the launcher chose; its value is the validation accuracy."""
    from semisup import build
    from semisup.commands._progress import Bars
    from semisup.commands._run import Outcome, folder_of, quietly, run_or_wait
    from semisup.companions import companions
    from semisup.record import write_json

    quietly()
    sys.argv = ["semisup", "train", *HydraConfig.get().overrides.task]  # what run.json calls the command of this run
    name, ledger = f"{HydraConfig.get().job.num:05d}", Path(HydraConfig.get().sweep.dir) / "jobs"
    try:
        checked = build.check(config)
    except SettingError as error:
        _note(ledger, name, Outcome(Path(), "refused", message=str(error)))
        return None
    halt = ledger.parent / HALT
    if halt.exists():
        _note(ledger, name, Outcome(folder_of(checked), "skipped", message="not started: sweep.fail_fast"))
        return None
    _note(ledger, name, Outcome(folder_of(checked), "running", message="its process died without a word"))
    with Bars() as bars:
        outcome = run_or_wait(checked, bars)
        if checked.sweep.fail_fast and outcome.status not in ("done", "interrupted"):
            write_json(halt, {"job": int(name), "status": outcome.status})
        _note(ledger, name, outcome)
        print(_line(outcome), flush=True)
        if outcome.status == "done" and checked.sweep.control and checked.settings.method.uses_unlabeled:
            for kind, plain in companions(checked.plain, outcome.summary or {}).items():
                other = run_or_wait(build.check(plain), bars)
                _note(ledger, f"{name}-{kind}", other)
                _stop_if_asked(other)
    _stop_if_asked(outcome)
    return (outcome.summary or {}).get("best/val/accuracy")


def _stop_if_asked(outcome: "Outcome") -> None:
    if outcome.status == "interrupted":
        raise KeyboardInterrupt


def _line(outcome: "Outcome") -> str:
    accuracy = (outcome.summary or {}).get("best/val/accuracy")
    said = "kept" if outcome.kept else outcome.status
    return f"{said:<12}{outcome.folder.name}" + (f"  validation {accuracy:.3f}" if accuracy is not None else "")


def _note(ledger: Path, name: str, outcome: "Outcome") -> None:
    """What became of a job, where the parent of the sweep looks for it."""
    from semisup.record import write_json

    ledger.mkdir(parents=True, exist_ok=True)
    entry = {name: getattr(outcome, name) for name in ("status", "message", "kept")}
    write_json(ledger / f"{name}.json", entry | {"folder": str(outcome.folder), "code": outcome.exit_code})


def _sweep(words: list[str], config: DictConfig) -> int:
    """Hand over to Hydra's sweeper, then count what the jobs wrote down: exit codes of launchers say nothing."""
    root = Path(str(config.output_root)).expanduser() / str(config.name)
    chosen = [word.partition("=")[2].strip("'\"") for word in words if word.startswith("hydra.sweep.dir=")]
    stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"  # two sweeps of one second do not meet
    ledger = Path(chosen[-1]) if chosen else root / "sweeps" / stamp
    own = [] if chosen else [f"hydra.sweep.dir={_quoted(ledger)}"]
    for old in (ledger / HALT, *(ledger / "jobs").glob("*.json")):  # of an earlier sweep in the same chosen folder
        old.unlink(missing_ok=True)
    began, stopped = time.monotonic(), None
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        GlobalHydra.instance().clear()
        _hydra(["--multirun", *_with_their_group(word for word in words if not word.startswith("-")), *own])
    except KeyboardInterrupt:
        stopped = 130
    except SystemExit as error:  # a launcher that died, or SIGTERM between two runs
        stopped = error.code if isinstance(error.code, int) else 1
    finally:
        signal.signal(signal.SIGTERM, before)
    return _report(ledger, root, time.monotonic() - began, stopped)


def _with_their_group(overrides: Iterable[str]) -> list[str]:
    """Settings of a swept group's options, `threshold.momentum=0.99` beside `threshold=freematch,softmatch`, as sweeps
    of one value: Hydra would put all others onto the group's default option, which need not have them."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    swept = {each.key_or_group for each in parsed if each.is_sweep_override()}
    words = []
    for each in parsed:
        word = str(each.input_line)
        key, _, value = word.partition("=")
        below = each.key_or_group.partition(".")[0] in swept and "." in each.key_or_group
        words.append(f"{key}=choice({value})" if below and not each.is_sweep_override() else word)
    return words


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(75)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"


def _report(ledger: Path, root: Path, seconds: float, stopped: int | None) -> int:
    """Say what became of every job; the exit status is 0 only if all are done."""
    entries = {path.stem: json.loads(path.read_text()) for path in sorted((ledger / "jobs").glob("*.json"))}
    runs = {name: entry for name, entry in entries.items() if "-" not in name}
    companions = {entry["folder"] for name, entry in entries.items() if "-" in name}
    counts = Counter(entry["status"] for entry in runs.values())
    kept = sum(entry["kept"] for entry in runs.values())
    said = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "none"
    before = f" ({kept} of them before)" if kept else ""
    print(f"\n{len(runs)} runs: {said}{before}; {len(companions)} controls and baselines")
    for name, entry in entries.items():
        if entry["status"] != "done":
            print(f"  {entry['status']}: job {name}: {show(entry['message'])}")
    print(f"{seconds:.0f} s. Next: semisup compare {root}")
    if stopped is not None:
        print("stopped; the same command continues")
        asked = [entry["code"] for entry in entries.values() if entry["status"] == "interrupted"]
        return int(asked[0]) if asked else stopped
    return 0 if runs and all(entry["status"] == "done" for entry in entries.values()) else 1
