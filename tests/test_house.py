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
    "semisup": 0, "errors": 0, "shapes": 0, "seeding": 0, "disk": 0, "secrets": 0, "vision": 0,
    "events": 1, "registry": 1, "images": 1, "threshold": 1, "augment": 1, "model": 1, "optimizer": 1, "schedule": 1,
    "batches": 1, "calibration": 1, "ema": 1, "loss": 1, "metric": 1, "what_if": 1,
    "dataset": 2, "labeler": 2, "record": 2, "tracking": 2,
    "evaluation": 3, "method": 3,
    "trainer": 4,
    "build": 5,
    "commands": 6,
    "__main__": 7,
}  # fmt: skip

DOORS = {
    "hydra": {"commands/train.py"},
    "omegaconf": {"commands/train.py", "build.py"},
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


def test_only_one_function_writes_whole_files() -> None:
    """Whole files come from disk.write_atomically, what grows by lines from record/log.py, the owner's by O_EXCL."""
    for path in FILES:
        where = str(path.relative_to(PACKAGE))
        if where in {"disk.py", "record/log.py", "record/owner.py"}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                writes = name in {"torch.save"} and "buffer" not in ast.unparse(node)
                writes |= name.endswith(
                    (".write_text", ".write_bytes", "json.dump", "numpy.save", "os.replace", ".savefig")
                )
                writes &= not (name.endswith(".savefig") and "buffer" in ast.unparse(node))
                writes |= name == "open" and any(
                    isinstance(a, ast.Constant) and isinstance(a.value, str) and set(a.value) & set("wax+")
                    for a in node.args[1:]
                )
                assert not writes, f"{where}: {ast.unparse(node)[:80]}"
