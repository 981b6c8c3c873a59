"""Record the environment of a run (package versions, CPU or GPU, code), on which its results may depend."""

import hashlib
import os
import platform
import shlex
import subprocess
import sys
import warnings
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from PIL import features

from semisup.errors import RecordError
from semisup.runtime.device_names import device_name, driver
from semisup.runtime.secrets import redact

RESULT_PACKAGES = (
    "python",
    "semisup",
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "scikit-learn",
    "threads",
    "processes",
)
DECODERS = ("jpg", "libjpeg_turbo", "webp", "libtiff", "zlib")  # another version gives other pixels
LARGEST_DIFF = 2**20  # characters
OPTIONAL_KEYS = ("driver", "libraries", "variables")  # not recorded by version 0.1.0
RESULT_VARIABLES = (
    *("ATEN_CPU_CAPABILITY", "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES", "OPENBLAS_CORETYPE"),
    *("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE", "MKL_DYNAMIC", "GLIBC_TUNABLES"),
    *("ONEDNN_MAX_CPU_ISA", "ONEDNN_CPU_ISA_HINTS", "ONEDNN_DEFAULT_FPMATH_MODE"),
    *("DNNL_MAX_CPU_ISA", "DNNL_CPU_ISA_HINTS", "DNNL_DEFAULT_FPMATH_MODE"),
    *("KMP_DETERMINISTIC_REDUCTION", "KMP_FORCE_REDUCTION", "JSIMD_FORCENONE", "JSIMD_FORCESSE2", "JSIMD_FORCEAVX2"),
    *("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
)
"""Environment variables that choose instructions, kernels or the order of sums, and so affect rounding."""

PACKAGES = ("semisup", "torch", "torchvision", "numpy", "pillow", "scikit-learn", "hydra-core", "omegaconf", "wandb")


def environment(device: str) -> dict[str, Any]:
    """Describe the environment of this process: package versions, CPU or GPU, code.

    Args:
        device: cpu, mps, cuda or cuda:N.

    Returns:
        plain data without secrets.
    """
    variables = {name: redact(os.environ[name]) for name in RESULT_VARIABLES if name in os.environ}
    return {**_fixed_environment(device), "variables": variables}


@cache
def _fixed_environment(device: str) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: package_version(name) for name in PACKAGES},
        "processor": _processor(),
        "cpu": _cpu(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "device": None if device == "cpu" else device_name(device),
        "driver": None if device == "cpu" else driver(device),
        "libraries": {name: features.version(name) for name in DECODERS},
        "host": platform.node(),
        "git": _git(),
    }


def command_line() -> str:
    """Return the command line of this process, quoted for a shell and without secrets."""
    return redact(shlex.join(["semisup", *sys.argv[1:]]))


@cache
def git_diff() -> str | None:
    """Return the uncommitted changes of this program's code and config, without secrets; None if there are none.

    The text is the output of `git diff HEAD`, followed by the files that git does not track.
    """
    here = Path(__file__).resolve().parents[2]
    if not (_git() or {}).get("dirty"):
        return None
    try:
        text = run_git(here, "diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD") + "\n"
        names = run_git(here, "ls-files", "-z", "--others", "--exclude-standard", "semisup", "conf").split("\0")
        for name in filter(None, names):
            added = (here / name).read_text(encoding="utf-8", errors="replace")
            text += f"diff: {name} is new\n" + "".join(f"+{line}\n" for line in added.splitlines())
    except (OSError, subprocess.SubprocessError):
        return None
    if not text.strip():  # the changes are outside the package
        return None
    cut = f"\ncut at {LARGEST_DIFF} characters\n" if len(text) > LARGEST_DIFF else ""
    return redact(text[: 2 * LARGEST_DIFF])[:LARGEST_DIFF] + cut


@cache
def source_digest() -> str:
    """Compute the SHA-256 of the source files of this package as they are on disk, committed or not."""
    package, digest = Path(__file__).resolve().parents[1], hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        source = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()} {len(source)}\n".encode() + source)
    return digest.hexdigest()


def diff_environments(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """Compare two recorded environments and list the differences that may affect results.

    Returns:
        name -> text such as "1.0 then, 2.0 now", for each difference.
    """
    matters = ("python", "system", "processor", "cpu", "instruction_set", "device", "driver", "threads")
    pairs = {key: (before.get(key), now.get(key)) for key in matters if key in before or key not in OPTIONAL_KEYS}
    pairs["processes"] = before.get("processes", 1), now.get("processes", 1)
    for group in ("packages", "libraries"):
        known = before.get(group, {} if group not in OPTIONAL_KEYS else now.get(group))
        known = known if isinstance(known, Mapping) else {}
        pairs |= {name: (known.get(name), version) for name, version in now.get(group, {}).items()}
    if "variables" in before:
        then, there = _mapping(before.get("variables")), _mapping(now.get("variables"))
        pairs |= {name: (then.get(name), there.get(name)) for name in sorted({*then, *there})}
    return {
        key: f"{'not recorded' if key == 'cpu' and old is None else old} then, {new} now"
        for key, (old, new) in pairs.items()
        if old != new
    }


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def resume_environment(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Build the environment entries of run.json for a run that is resumed, perhaps on another machine.

    A difference that may change results slightly (rounding), such as another CPU, causes a warning.

    Args:
        before: recorded environment at the start of the run.
        now: environment of this process; {} = not compared.

    Raises:
        RecordError: the versions of packages on which the results depend differ, such as torch.
    """
    differences = diff_environments(before, now) if now else {}
    others = [f"{name} {differences[name]}" for name in RESULT_PACKAGES if name in differences]
    if others:
        raise RecordError(
            f"the run was started with other package versions ({', '.join(others)}); install those "
            "versions, or start a new run with name=NAME"
        )
    if differences:
        message = ", ".join(f"{name} {each}" for name, each in differences.items())
        warnings.warn(
            f"the run started in another environment; results may differ slightly (rounding): {message}", stacklevel=2
        )
    return {"environment": before} | ({"continued_in": now} if now and now != before else {})


@cache
def package_version(package: str) -> str | None:
    """Return the version of an installed package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    return _cpu_fields().get("model name", platform.processor())


def _cpu() -> str | None:
    """Return a text that identifies the type of CPU: family, model, cache size, instructions; None if unknown."""
    # the model name does not suffice: a virtual machine can call two generations "Intel(R) Xeon(R) Processor", and
    # their kernels, chosen by instructions and cache sizes, round differently
    fields = _cpu_fields()
    if "flags" not in fields:
        return None
    instructions = hashlib.sha256(" ".join(sorted(fields["flags"].split())).encode()).hexdigest()[:8]
    numbers = [f"{name} {fields[name]}" for name in ("cpu family", "model", "stepping", "cache size") if name in fields]
    return ", ".join([*numbers, f"instructions {instructions}"])


@cache
def _cpu_fields() -> dict[str, str]:
    """Read the description of the first CPU in /proc/cpuinfo; return {} if there is no such file."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


@cache
def _git() -> dict[str, Any] | None:
    """Return the git commit of this program, and whether there are uncommitted changes.

    Returns:
        {"commit": ..., "dirty": ...}; None if this program does not run from a git checkout.
    """
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        commit = run_git(here, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(run_git(here, "status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def run_git(folder: Path, *arguments: str) -> str:
    """Run git in `folder` and return its output.

    Raises:
        OSError, subprocess.SubprocessError: git is missing, fails or takes more than 10 s.
    """
    quiet = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(  # a changed file need not be Unicode
        command, capture_output=True, encoding="utf-8", errors="backslashreplace", check=True, timeout=10, env=quiet
    ).stdout.strip()
