"""The house as DESIGN draws it: every arrow points down, every door has one user, no default hides in code."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "semisup"
FILES = sorted(PACKAGE.rglob("*.py"))

FLOORS = {
    "alive": -1, "torchrun": -1,
    "semisup": 0, "errors": 0, "shapes": 0, "seeding": 0, "disk": 0, "process": 0, "secrets": 0, "vision": 0,
    "team": 0, "transfer": 0, "room": 0,
    "events": 1, "registry": 1, "images": 1, "threshold": 1, "augment": 1, "model": 1, "optimizer": 1, "schedule": 1,
    "batches": 1, "calibration": 1, "computing": 1, "ema": 1, "loss": 1, "metric": 1, "what_if": 1,
    "dataset": 2, "labeler": 2, "record": 2, "tracking": 2,
    "evaluation": 3, "method": 3,
    "state": 4,
    "identity": 2, "companions": 3, "trainer": 5,
    "run_settings": 1, "build": 6, "fitting": 7,
    "commands": 8,
    "__main__": 9,
}  # fmt: skip

DOORS = {
    "hydra": {"sweep/preflight.py", "sweep/runner.py", "sweep/job.py", "config/compose_cache.py"},
    "omegaconf": {
        *("cli/train.py", "sweep/preflight.py", "sweep/job.py", "runner/resolve_auto.py", "config/resolvers.py"),
        "config/compose_cache.py",
        "build.py",
    },
    "wandb": {"tracking/wandb.py"},
    "matplotlib": {"commands"},
    "rich": {"commands"},
    "jinja2": {"commands"},
    "markupsafe": {"commands"},
    "torchvision": set(),
    "yaml": {"record"},
}


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "semisup"


def imports(path: Path) -> list[str]:
    """Modules that a file imports anywhere in it, outside `if TYPE_CHECKING`."""
    tree = ast.parse(path.read_text())
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and node not in skipped:
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node not in skipped:
            inner = [f"{node.module}.{alias.name}" for alias in node.names if node.module == "semisup"]
            found += inner or [node.module]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_a_lower_floor_or_its_own_room(path: Path) -> None:
    here = (
        room("semisup." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts))
        if path.name != "__init__.py" or path.parent != PACKAGE
        else "semisup"
    )
    assert here in FLOORS, f"{here} has no floor"
    for module in imports(path):
        if module.split(".")[0] == "semisup":
            there = room(module)
            if there == "__version__":
                continue
            allowed = there == here or FLOORS[there] < FLOORS[here]
            assert allowed, f"{path.name} (floor {FLOORS[here]}) imports {module} (floor {FLOORS[there]})"


def test_no_two_rooms_import_each_other() -> None:
    arrows = {
        (room("semisup." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)), room(module))
        for path in FILES
        for module in imports(path)
        if module.startswith("semisup")
    }
    assert [pair for pair in arrows if pair[0] < pair[1] and pair[::-1] in arrows] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_door_has_its_users_and_no_others(path: Path) -> None:
    where = str(path.relative_to(PACKAGE))
    for module in imports(path):
        allowed = DOORS.get(module.split(".")[0])
        assert allowed is None or where in allowed or where.split("/")[0] in allowed, f"{where} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_runs_code_from_a_config_or_a_file(path: Path) -> None:
    text = path.read_text()
    for word in (
        "_target_",
        "instantiate",
        "pickle",
        "eval(",
        "exec(",
        "weights_only=False",
        "allow_pickle=True",
        "yaml.Loader",
        "unsafe",
    ):
        assert word not in text.replace(".eval()", ""), f"{path.name}: {word}"


def test_help_and_checks_import_neither_torch_nor_wandb() -> None:
    code = """
import sys
sys.argv = ["semisup", "--help"]
try:
    from semisup.__main__ import main
    main()
except SystemExit:
    pass
print("LOADED", [name for name in ("torch", "torchvision", "wandb", "matplotlib", "hydra") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "LOADED []" in done.stdout


WRITERS = {
    *(
        "write_text",
        "write_bytes",
        "savefig",
        "tofile",
        "to_csv",
        "to_json",
        "save",
        "savez",
        "savez_compressed",
        "dump",
    ),
    *("replace", "rename", "link", "symlink", "copy", "copy2", "copyfile", "copytree", "move", "mkstemp", "ZipFile"),
    *("NamedTemporaryFile", "TarFile", "symlink_to", "hardlink_to", "truncate", "savetxt", "memmap"),
}
"""Functions and methods that make or change files, when they are not told to do so in memory."""

IN_MEMORY = ("buffer", "memory", "io.BytesIO", "io.StringIO")


def writes(call: ast.Call) -> bool:
    """Whether a call makes or changes a file, as far as its text tells."""
    text, function = ast.unparse(call), ast.unparse(call.func)
    module, _, name = function.rpartition(".")
    given = [*call.args, *(word.value for word in call.keywords)]
    constants = {each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    if name == "open":
        return "os.O_WRONLY" in text or "os.O_RDWR" in text or any(_is_writing(mode) for mode in constants)
    if name not in WRITERS or any(word in text for word in IN_MEMORY):
        return False
    if name in ("replace", "rename", "link", "copy", "copy2", "copyfile", "move", "truncate"):
        return module in ("os", "shutil")
    return not (name == "save" and module in ("record", "checkpoint", ""))


def _is_writing(mode: str) -> bool:
    return 0 < len(mode) <= 4 and set(mode) <= set("rwxabt+") and bool(set(mode) & set("wxa+"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_one_module_writes_files(path: Path) -> None:
    """Whole files come from disk.py, what grows by lines from record/log.py."""
    found = [call for call in ast.walk(ast.parse(path.read_text())) if isinstance(call, ast.Call) and writes(call)]
    if str(path.relative_to(PACKAGE)) in {"disk.py", "record/append_log.py"}:
        assert found, "the scan sees nothing"
    else:
        assert not found, [ast.unparse(call)[:80] for call in found]


@pytest.mark.parametrize(
    "line",
    [
        *(
            "open(path, 'w')",
            "open(path, mode='ab')",
            "path.open('r+')",
            "io.open(path, 'xb')",
            "path.write_text(text)",
        ),
        *("os.open(path, os.O_WRONLY | os.O_CREAT)", "torch.save(weights, path)", "numpy.save(path, array)"),
        *("json.dump(value, file)", "yaml.dump(value, file)", "os.replace(one, other)", "shutil.copy(one, other)"),
        *(
            "figure.savefig(path)",
            "image.save(path)",
            "array.tofile(path)",
            "os.link(one, other)",
            "os.truncate(path, 3)",
        ),
    ],
)
def test_the_scan_knows_a_writer(line: str) -> None:
    (call,) = [node for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Call)]
    assert writes(call)
