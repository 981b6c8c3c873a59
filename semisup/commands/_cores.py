"""How many runs go side by side on one machine, for the launcher presets in conf/hydra/launcher/.

A run uses exactly `threads` threads, because another number of them gives other last bits; so it is the number of runs
that follows the number of cores, and never the other way round.
"""

from omegaconf import DictConfig, OmegaConf

from semisup.commands._gpus import number_of_gpus


def side_by_side(threads: int) -> int:
    """Runs of `threads` threads each that this process's cores hold, at least 1; in a container or under taskset its
    share of the cores."""
    import joblib

    cores: int = joblib.cpu_count()
    return max(1, cores // max(1, threads))


def at_once(launcher: DictConfig) -> int:
    """Runs that joblib has on this machine at a time; 1 with another launcher."""
    jobs = launcher.get("n_jobs") or 1
    if jobs > 0:
        return int(jobs)
    import joblib

    return max(1, int(joblib.cpu_count()) + 1 + int(jobs))


def offer() -> None:
    """Let configs say `${semisup.side_by_side:${threads}}` and `${semisup.gpus:}`."""
    OmegaConf.register_new_resolver("semisup.side_by_side", side_by_side, replace=True)
    OmegaConf.register_new_resolver("semisup.gpus", number_of_gpus, replace=True)
