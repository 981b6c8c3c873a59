"""How much memory there is: what any control group above the process says, and what its neighbors leave."""

import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from semisup.config.resolvers import concurrent_runs
from semisup.dataset import resident_bytes
from semisup.runtime.memory_limit import CONCURRENT_RUNS, local_process_count, memory_limit_bytes

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
V2 = "31 23 0:28 {above} /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate"
V1 = "35 31 0:32 {above} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"
OTHER = "36 31 0:33 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu"


def tree(root: Path, groups: str, mounts: str, limits: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    (root / "proc/self/mountinfo").write_text(mounts)
    for path, content in limits.items():
        (root / "sys/fs/cgroup" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "sys/fs/cgroup" / path).write_text(content + "\n")
    return root


@pytest.mark.parametrize(
    ("groups", "mounts", "limits", "wanted"),
    [
        # a container that sees its own group as the root
        ("0::/\n", V2.format(above="/"), {"memory.max": "1000000"}, 10**6),
        # SLURM: the job's group, two levels above the task's, has the limit
        (
            "0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0\n",
            V2.format(above="/"),
            {
                "system.slice/slurmstepd.scope/job_7/memory.max": "2000000",
                "system.slice/slurmstepd.scope/job_7/step_0/memory.max": "max",
                "system.slice/slurmstepd.scope/job_7/step_0/user/task_0/memory.max": "max",
                "system.slice/slurmstepd.scope/job_8/memory.max": "5",
            },
            2 * 10**6,
        ),
        # the least of several
        ("0::/a/b\n", V2.format(above="/"), {"a/memory.max": "3000000", "a/b/memory.max": "4000000"}, 3 * 10**6),
        # a container without a namespace of its own: the mount shows its group as the root
        ("0::/docker/abc\n", V2.format(above="/docker/abc"), {"memory.max": "7000"}, 7000),
        # version 1, beside other hierarchies, the limit above the task
        (
            "5:cpu:/else\n4:memory:/slurm/uid_0/job_3/step_0\n0::/\n",
            OTHER + "\n" + V1.format(above="/"),
            {
                "memory/slurm/uid_0/job_3/memory.limit_in_bytes": "9000",
                "memory/slurm/uid_0/job_3/step_0/memory.limit_in_bytes": str(2**63 - 4096),
                "cpu/else/memory.limit_in_bytes": "5",
                "memory.max": "5",
            },
            9000,
        ),
        ("4:hugetlb,memory:/docker/x\n", V1.format(above="/docker/x"), {"memory/memory.limit_in_bytes": "800"}, 800),
        # nothing set, and nothing there
        ("0::/a\n", V2.format(above="/"), {"a/memory.max": "max"}, MACHINE),
        ("0::/gone\n", V2.format(above="/"), {}, MACHINE),
        ("", "", {}, MACHINE),
        ("torn", "torn - \n\n - cgroup2", {}, MACHINE),
    ],
)
def test_lowest_limit_of_all_parent_groups_applies(
    tmp_path: Path, groups: str, mounts: str, limits: dict[str, str], wanted: int
) -> None:
    assert memory_limit_bytes(tree(tmp_path, groups, mounts, limits)) == wanted


def test_limit_without_proc_is_the_physical_memory(tmp_path: Path) -> None:
    assert memory_limit_bytes(tmp_path) == MACHINE
    assert 0 < memory_limit_bytes() <= MACHINE


def test_concurrent_processes_share_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONCURRENT_RUNS, raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    alone = resident_bytes(None, copies=1)
    assert (local_process_count(), alone) == (1, memory_limit_bytes() / 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert resident_bytes(None, copies=1) == alone / 8
    monkeypatch.setenv(CONCURRENT_RUNS, "2")
    assert resident_bytes(None, copies=2) == alone / 32
    assert resident_bytes(3.0, copies=2) == 3e9, "what a user says is of each process"
    monkeypatch.setenv(CONCURRENT_RUNS, "many")
    assert local_process_count() == 8


def test_number_of_concurrent_runs_is_the_launchers() -> None:
    assert concurrent_runs(OmegaConf.create({"_target_": "basic"})) == 1
    assert concurrent_runs(OmegaConf.create({"n_jobs": 3})) == 3
    assert concurrent_runs(OmegaConf.create({"n_jobs": -1})) >= 1
