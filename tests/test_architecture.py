"""The structure of the code: layers, allowed importers, who writes files, what never runs code from a config."""

import ast
import collections
import graphlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "semisup"
FILES = sorted(PACKAGE.rglob("*.py"))

LAYERS = {
    "text": 0,
    "errors": 1,
    "core": 2,
    **dict.fromkeys(
        ("threshold", "reject", "loss", "debias", "augment", "optimizer", "schedule", "tracking", "runtime"), 3
    ),
    **dict.fromkeys(("method", "model", "encoder", "record", "images"), 4),
    **dict.fromkeys(("dataset", "features", "training"), 5),
    "config": 6,
    "analysis": 7,
    "report": 8,
    "runner": 9,
    **dict.fromkeys(("sweep", "labeling", "export"), 10),
    **dict.fromkeys(("api", "cli"), 11),
    "__main__": 12,
}
"""Every package and top-level module. A module imports only from a lower layer or from its own package."""

ALLOWED_IMPORTERS = {
    "hydra": {"config", "sweep"},
    "omegaconf": {"config", "cli/train.py", "sweep", "runner/resolve_auto.py"},
    "ray": {"sweep/ray_launcher.py"},
    "wandb": {"tracking/wandb.py"},
    "matplotlib": {"report/figures"},
    "rich": {"report", "runner/progress.py"},
    "jinja2": {"report/html"},
    "markupsafe": {"report/html"},
    "torchvision": set(),
    "timm": set(),
    "huggingface_hub": set(),
    "yaml": {"record"},
    "pyarrow": {"dataset/_parquet_table.py", "images/parquet_cells.py"},
}
"""Files or folders that alone may import a library; the others get what they need from those."""

LARGEST_SHARE = 0.15
"""Of all lines of the program, in one package."""


def package_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "semisup"


def module_of(path: Path) -> str:
    return "semisup." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> list[str]:
    """Modules that a file imports anywhere in it, outside `if TYPE_CHECKING`."""
    tree = parsed(path)
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
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def test_imports_point_downward() -> None:
    top = PACKAGE / "__init__.py"
    assert {each for each in imports(top) if not each.startswith("typing")} == {"importlib"}
    wrong = []
    for path in FILES:
        here = package_of(module_of(path))
        assert path == top or here in LAYERS, f"{here} is in no layer"
        for module in imports(path) if path != top else ():
            if module.split(".")[0] == "semisup" and module not in ("semisup", "semisup.__version__"):
                there = package_of(module)
                if there != here and LAYERS[there] >= LAYERS[here]:
                    wrong.append(f"{path} (layer {LAYERS[here]}) imports {module} (layer {LAYERS[there]})")
    assert wrong == []


def test_no_import_cycles_inside_a_package() -> None:
    """Between packages the layers exclude them. A package's `__init__` may collect what its modules define."""
    graph = {module_of(path): set() for path in FILES if path.name != "__init__.py"}
    for path in FILES:
        if module_of(path) in graph:
            graph[module_of(path)] = {module for module in imports(path) if module in graph}
    order = graphlib.TopologicalSorter(graph)
    order.prepare()  # raises CycleError, which names the modules


def test_no_package_holds_more_than_its_share_of_the_lines() -> None:
    lines = collections.Counter[str]()
    for path in FILES:
        lines[path.relative_to(PACKAGE).parts[0]] += len(path.read_text().splitlines())
    name, most = lines.most_common(1)[0]
    assert most <= LARGEST_SHARE * lines.total(), f"{name}/ holds {most / lines.total():.1%}"


EVERYWHERE = sorted(
    each for folder in ("semisup", "tests", "benchmarks", "docs") for each in (ROOT / folder).rglob("*.py")
)


def test_an_underscored_module_is_used_only_in_its_package() -> None:
    """The underscore says: not an option of this group."""
    wrong = []
    for path in EVERYWHERE:
        here = path.relative_to(ROOT).with_suffix("").parts[:-1]
        for module in imports(path):
            parts = module.split(".")
            hidden = next((n for n, part in enumerate(parts) if part.startswith("_") and part != "__main__"), None)
            own = hidden is None or tuple(parts[:hidden]) == here[:hidden]
            if parts[0] == "semisup" and not own and module != "semisup.__version__":
                wrong.append(f"{path} imports {module}")
    assert wrong == []


def test_a_library_is_imported_only_where_it_is_allowed() -> None:
    wrong = []
    for path in FILES:
        where = path.relative_to(PACKAGE)
        places = {str(where), *(str(parent) for parent in where.parents)}
        for module in imports(path):
            allowed = ALLOWED_IMPORTERS.get(module.split(".")[0])
            if allowed is not None and not places & allowed:
                wrong.append(f"{where} imports {module}")
    assert wrong == []


def test_nothing_runs_code_from_a_config_or_a_file() -> None:
    refused = (
        *("_target_", "instantiate", "pickle", "eval(", "exec(", "weights_only=False", "allow_pickle=True"),
        *("yaml.Loader", "unsafe"),
    )
    wrong = []
    for path in FILES:
        text = path.read_text().replace(".eval()", "").replace("instantiate_launcher", "")  # networks; Hydra's plugin
        wrong += [f"{path}: {word}" for word in refused if word in text]
    assert wrong == []


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

WRITING = ("atomic_files", "temporary_files", "exclusive_files", "devnull")
"""Modules of runtime/ that write files."""

IN_MEMORY = ("buffer", "memory", "io.BytesIO", "io.StringIO")


def writes(call: ast.Call) -> bool:
    """Whether a call makes or changes a file, as far as its text tells."""
    text, function = ast.unparse(call), ast.unparse(call.func)
    module, _, name = function.rpartition(".")
    given = [*call.args, *(word.value for word in call.keywords)]
    constants = {each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    if name == "open":
        return "os.O_WRONLY" in text or "os.O_RDWR" in text or any(_is_writing(mode) for mode in constants)
    if name in ("ZipFile", "TarFile"):  # which read unless told otherwise
        return any(_is_writing(mode) for mode in constants)
    if name not in WRITERS or any(word in text for word in IN_MEMORY):
        return False
    if name in ("replace", "rename", "link", "copy", "copy2", "copyfile", "move", "truncate"):
        return module in ("os", "shutil")
    return not (name == "save" and module in ("record", "checkpoint", ""))


def _is_writing(mode: str) -> bool:
    return 0 < len(mode) <= 4 and set(mode) <= set("rwxabt+") and bool(set(mode) & set("wxa+"))


def test_only_the_modules_for_it_write_files() -> None:
    """Whole files come from runtime/atomic_files.py, files that grow by lines from record/append_log.py.

    runtime/exclusive_files.py creates files that belong to one process. runtime/temporary_files.py writes these files
    before they have their names, and runtime/devnull.py discards bytes.
    """
    found = {
        str(path.relative_to(PACKAGE)): calls
        for path in FILES
        if (calls := [each for each in ast.walk(parsed(path)) if isinstance(each, ast.Call) and writes(each)])
    }
    own = (*(f"runtime/{name}.py" for name in WRITING), "record/append_log.py")
    assert all(name in found for name in own), "the scan sees nothing"
    assert [f"{name}: {ast.unparse(call)[:80]}" for name in found if name not in own for call in found[name]] == []


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
