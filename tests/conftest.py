"""What the tests share: real data where it is there, small problems where it is not needed, composed configs."""

import atexit
import copy
import gc
import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from semisup.__main__ import main
from semisup.config import compose as compose_module
from semisup.config import registry, schema
from semisup.config.hydra_versions import initialized
from semisup.config.schema import RunConfig
from semisup.core.types import Images, StateDict
from semisup.method import Method, Prepares, TrainingContext
from semisup.sweep import worker_process
from semisup.training.state import TrainingData
from tests import preloaded, yaml_cache

CONF = Path(__file__).resolve().parents[1] / "conf"
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else torch refuses what `one_thread` asks of a GPU
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
COMPOSED = "SEMISUP_TESTS_COMPOSED"
"""Variable with the folder of the configs that the processes of this session have composed."""


def _share_composed() -> None:
    """Create that folder in the first process of a session, which removes it; the others inherit the variable."""
    if COMPOSED in os.environ:
        return
    folder, owner = tempfile.mkdtemp(prefix="composed-"), os.getpid()
    os.environ[COMPOSED] = folder
    atexit.register(lambda: os.getpid() == owner and shutil.rmtree(folder, ignore_errors=True))


_share_composed()
yaml_cache.install()
gc.set_threshold(20_000, 20, 20)  # with the default of 700, 10, 10 the collector takes 8 % of the CPU time


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode("error")  # as `use_deterministic_algorithms`, which imports torch's compiler


@pytest.fixture(autouse=True, scope="session")
def no_network_tracking(tmp_path_factory: pytest.TempPathFactory) -> None:
    """W&B keeps its own files out of the home folder of whoever runs the tests."""
    place = tmp_path_factory.mktemp("wandb")
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        os.environ[name] = str(place)
    os.environ["WANDB_MODE"] = "offline"


@pytest.fixture(autouse=True, scope="session")
def forked_workers() -> None:
    """Fork the worker of a sweep that a test runs in this process, which saves 3 s of imports."""
    worker_process.subprocess = preloaded.Forked  # type: ignore[assignment]


SOAK = os.environ.get("SEMISUP_SOAK") == "1"
"""`make soak`: every combination of what is otherwise taken in a few that cover all."""


def compose(*overrides: str) -> Any:
    """A config as the command line composes it.

    Hydra composes each choice of groups once (0.1 s); its own functions then set the keys, as they do after composing.
    """
    groups = tuple(
        word for word in overrides if (CONF / word.partition("=")[0].partition("@")[0]).is_dir() or word[0] in "+~"
    )
    config = _composed(groups)
    keys = [_parsed(word) for word in overrides if word not in groups]
    ConfigLoaderImpl._apply_overrides_to_config(keys, config)
    return config


@lru_cache(maxsize=4096)
def _parsed(word: str) -> Override:
    return OverridesParser.create().parse_override(word)


def _composed(overrides: tuple[str, ...]) -> Any:
    return pickle.loads(_pickled(overrides))  # faster than a deep copy


@lru_cache(maxsize=512)
def _pickled(overrides: tuple[str, ...]) -> bytes:
    """Compose a config, from one config for each option where the options are independent."""
    groups = [word.partition("=")[0] for word in overrides]
    independent = len({*groups}) == len(groups) > 1 and {*groups} <= {*registry.GROUPS, "tracking"}
    if not independent:
        return composed_by_hydra(overrides)
    config = _composed(())
    for group, word in zip(groups, overrides, strict=True):
        config[group] = _composed((word,))[group]
    return pickle.dumps(config)


def composed_by_hydra(overrides: tuple[str, ...]) -> bytes:
    """Compose a config, or read it if another process of this session has composed it."""
    path = Path(os.environ[COMPOSED]) / hashlib.sha256(repr(overrides).encode()).hexdigest()
    if not path.exists():
        GlobalHydra.instance().clear()
        with initialized(CONF):
            config = hydra.compose("train", overrides=list(overrides))
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(pickle.dumps(config))
        temporary.replace(path)
    return path.read_bytes()


def checked(*overrides: str) -> RunConfig:
    return schema.validate(compose("tracking=none", *overrides))


def value_of(generator: Generator[Any, None, Any]) -> Any:
    """Run a generator to its end and return its value."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


def prepared(method: Method, training: TrainingContext, memory: StateDict) -> StateDict:
    """Compute what the method needs before the first step."""
    return value_of(method.prepare(training, memory)) if isinstance(method, Prepares) else memory


def choose(group: str, name: str, **wanted: object) -> list[str]:
    """Overrides that choose an option and set those of the wanted keys that it has."""
    keys = _keys(group, name)
    return [f"{group}={name}", *(f"{group}.{key}={value}" for key, value in wanted.items() if key in keys)]


@lru_cache(maxsize=512)
def _keys(group: str, name: str) -> tuple[str, ...]:
    return tuple(compose("tracking=none", f"{group}={name}")[group])  # as `checked` composes it


def options(group: str) -> list[str]:
    """List the options of a group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def combinations(methods: list[str], policies: list[str]) -> list[tuple[str, str]]:
    """List methods with policies: each of both, and every policy offline and online; `make soak`: all with all."""
    if SOAK:
        return [(method, policy) for method in methods for policy in policies]
    by_rounds = [each for each in methods if "gate" in yaml.safe_load((CONF / "method" / f"{each}.yaml").read_text())]
    at_every_step = [each for each in methods if each not in (*by_rounds, "supervised")]
    found = dict.fromkeys((each, policies[0]) for each in methods)
    for kind in filter(None, (by_rounds, at_every_step)):
        for number in range(max(len(kind), len(policies))):
            found[kind[number % len(kind)], policies[number % len(policies)]] = None
    return [*found]


def toy_images(count: int, num_classes: int, size: int = 8, channels: int = 1, seed: int = 0) -> Images:
    """Images whose class can be learned: a bright band that depends on it, under noise."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % num_classes
    pixels = torch.randint(0, 60, (count, channels, size, size), generator=generator, dtype=torch.uint8)
    for number, target in enumerate(targets.tolist()):
        pixels[number, :, target % size, :] += 180
    return Images(pixels, targets, [f"toy/{number}" for number in range(count)])


def toy_problem(
    labeled: int = 12, unlabeled: int = 30, num_classes: int = 3, size: int = 8, channels: int = 1
) -> TrainingData:
    make: Callable[[int, int], Images] = lambda count, seed: toy_images(count, num_classes, size, channels, seed)  # noqa: E731
    pool = make(unlabeled, 2)
    return TrainingData(
        labeled=make(labeled, 1),
        unlabeled=Images(pool.pixels, torch.full_like(pool.targets, -1), pool.paths),
        validation=make(24, 3),
        test=make(24, 4),
        hidden_targets=pool.targets,
        num_classes=num_classes,
        device=torch.device("cpu"),
    )


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder that any user may reach and write, as tmp_path is not: for tests that give up being root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def shared_data() -> Path:
    """Real photographs, where a checkout has them beside it."""
    if not SHARED.is_dir():
        pytest.skip(f"no real photographs here ({SHARED.name}/ beside the checkout)")
    return SHARED


Program = Callable[..., tuple[int, str]]
Within = Callable[..., "subprocess.CompletedProcess[str]"]

_compose_defaults = compose_module.defaults


@lru_cache(maxsize=64)
def _defaults(conf: Path, words: tuple[str, ...]) -> Any:
    return _compose_defaults([*words])


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """The program as typed in tmp_path, but in this process; gives exit status and all that it printed. A
    traceback is a failure. What `semisup train` would compose of the same words is composed once: 0.1 s each time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        compose_module, "defaults", lambda words: copy.deepcopy(_defaults(compose_module.config_folder(), tuple(words)))
    )

    def call(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["semisup", *words])
        status = main()
        said = capsys.readouterr()
        return status, said.out + said.err

    return call


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    browser, service = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or service is None:
        pytest.skip("no browser here (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for word in ("--headless", "--window-size=1366,900", f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(word)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # which it has not for root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options, Service(service))
    yield found
    found.quit()


@pytest.fixture
def within(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Within:
    """The program as typed in a folder, but in this process, which saves the import of torch; as `subprocess.run`."""

    def call(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["semisup", *words])
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = lambda *of: print(warnings.formatwarning(*of[:4]), end="", file=sys.stderr)
            status = main()
        return subprocess.CompletedProcess([*words], status, *capsys.readouterr())

    return call


LONGEST = (
    "kill/test_kill",
    "sweep/test_sweep",
    "cli/test_train",
    "sweep/test_launchers",
    "test_contracts",
    "encoder/test_probe",
    "report/test_compare",
    "tracking/test_wandb",
    "training/test_distributed",
    "cli/test_interruptions",
    "runner/test_shared_start",
    "training/test_loop",
    "encoder/test_runs",
    "images/test_decode",
)
"""Files that take the most CPU time: they start first, so that the test processes end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        name = str(item.path.relative_to(here).with_suffix(""))
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=place)


def pytest_xdist_setupnodes() -> None:
    """Start one server of preloaded processes for all processes of tests, which inherit its address."""
    os.environ[preloaded.ADDRESS] = preloaded.start_server()


_cases: dict[str, list[tuple[int, int]]] = {}
"""Test -> injected and survived of each of its cases in this session."""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count one case; a test that injects several faults records their numbers itself."""
    if (report.when == "call" and report.outcome != "skipped") or report.failed:
        recorded = dict(report.user_properties).get("faults")
        injected, survived = recorded if isinstance(recorded, list | tuple) else (1, 1)
        test = report.nodeid.partition("[")[0].removeprefix("tests/")
        _cases.setdefault(test, []).append((injected, survived if report.passed else 0))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the counts of the faults whose tests all ran; a selection of tests writes nothing."""
    from tests.faults import FAULTS
    from tests.reliability import count

    options = session.config.option
    selected = options.keyword or options.markexpr or any("::" in word for word in session.config.args)
    if selected or options.collectonly or hasattr(session.config, "workerinput"):
        return
    counted = {
        fault.key: tuple(map(sum, zip(*(case for test in fault.tests for case in _cases[test]), strict=True)))
        for fault in FAULTS
        if fault.tests and all(test in _cases for test in fault.tests)
    }
    if counted:
        count(counted)  # type: ignore[arg-type]
