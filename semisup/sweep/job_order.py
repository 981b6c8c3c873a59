"""Order the jobs of a sweep: all settings with the first seed and fold, then all with the second, and so on.

If a sweep is stopped early, some seeds and folds have then been run with all settings. If the sweep has a time limit,
the values of each setting are also ordered from coarse to fine: first the two ends, then the middle of every gap.
"""

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from semisup.config.paired_values import is_paired

REPETITIONS = ("seed", "dataset.fold", "dataset.split_seed")
"""Keys whose values only repeat a setting: with other labels, another order of the images, or another split."""

WITHOUT_PARAMS = "hydra.sweeper.params=null"
"""Override that prevents Hydra's sweeper from adding the parameters of an experiment a second time."""


def ordered_words(words: list[str], params: DictConfig | None, *, coarse_first: bool) -> list[str]:
    """Order the overrides of a sweep, so that Hydra first runs all settings with the first seed and fold.

    Args:
        words: overrides for Hydra; they take precedence over `params`.
        params: the settings that the experiment sweeps (`hydra.sweeper.params`).
        coarse_first: whether to order the values of each setting by `coarse_to_fine`; seeds and folds keep their order.

    Returns:
        Overrides that define the same jobs in another order.
    """
    keys = {word.partition("=")[0] for word in words}
    own = [f"{key!s}={value}" for key, value in ({} if params is None else params).items() if str(key) not in keys]
    parsed = OverridesParser.create().parse_overrides([*own, *words])
    result: list[str] = []
    repetitions: list[str] = []
    for override in parsed:
        word = str(override.input_line)
        if not override.is_sweep_override() or override.key_or_group.startswith(("hydra.", "hydra/")):
            result.append(word)
        elif override.key_or_group in REPETITIONS:
            repetitions.append(word)
        elif coarse_first and override.is_discrete_sweep() and not is_paired(override):
            values = list(override.sweep_string_iterator())
            many = len(values) > 2
            result.append(f"{override.get_key_element()}={','.join(coarse_to_fine(values))}" if many else word)
        else:
            result.append(word)
    return [*repetitions, *result, *([WITHOUT_PARAMS] if params else [])]


def coarse_to_fine(values: list[str]) -> list[str]:
    """Reorder values from coarse to fine: the first, the last, the middle, then the middle of every gap."""
    order = [0, len(values) - 1] if len(values) > 1 else [0]
    gaps = [(0, len(values) - 1)]
    while gaps:
        begin, end = gaps.pop(0)
        if end - begin < 2:
            continue
        middle = (begin + end) // 2
        order.append(middle)
        gaps += [(begin, middle), (middle, end)]
    return [values[place] for place in order]
