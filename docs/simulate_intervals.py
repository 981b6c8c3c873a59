"""Simulate sweeps and print how often each statement about a gain is wrong: the table of docs/statistics.md.

python docs/simulate_intervals.py            # 4,000 sweeps a row, 2 minutes
"""

import argparse

import numpy

from semisup.analysis.intervals import chosen_interval, paired_interval, power

CELLS, CONFIRMATION_SEEDS = 12, 10


def simulate(generator: numpy.random.Generator, seeds: int, effect: float, sweeps: int) -> list[float]:
    """Draw sweeps of 12 cells with shared controls and unequal variances, and choose a cell on validation.

    Args:
        effect: true gain of every cell, in standard deviations of its gain over seeds.

    Returns:
        Shares of sweeps in which the mean exceeds one deviation, the interval of the sweep lies above 0, and that
        of ten fresh seeds does; and the mean overstatement of the chosen gain, in deviations of the control.
    """
    spread = numpy.linspace(0.5, 1.5, CELLS)[:, None]
    gains = effect * numpy.sqrt(1 + spread**2)
    counts = numpy.zeros(4)
    for _ in range(sweeps):
        runs = generator.normal(0, 1, (CELLS, seeds)) * spread + gains
        chosen = int((runs.mean(axis=1) + generator.normal(0, 1, CELLS)).argmax())
        differences = runs - generator.normal(0, 1, seeds)
        own = differences[chosen]
        fresh = generator.normal(0, 1, CONFIRMATION_SEEDS) * spread[chosen, 0] + gains[chosen, 0]
        fresh -= generator.normal(0, 1, CONFIRMATION_SEEDS)
        simultaneous, confirmed = chosen_interval(differences.tolist(), chosen), paired_interval(fresh.tolist())
        assert simultaneous is not None
        assert confirmed is not None
        counts += (
            own.mean() > own.std(ddof=1),
            simultaneous.low > 0,
            confirmed.low > 0,
            own.mean() - gains[chosen, 0],
        )
    return (counts / sweeps).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=4000)
    sweeps = parser.parse_args().sweeps
    print('| true gain | seeds | mean > deviation ("clear" in 0.1.0) | interval of the sweep > 0 |', end="")
    print(" interval of 10 new seeds > 0 | overstated by | interval of one cell > 0 |\n|---|---|---|---|---|---|---|")
    generator = numpy.random.default_rng(0)
    for effect in (0.0, 1.0):
        for seeds in (3, 5, 10):
            naive, own, confirmed, over = simulate(generator, seeds, effect, sweeps)
            shares = " | ".join(f"{share:.1%}" for share in (naive, own, confirmed))
            alone = f"{power(effect, seeds):.0%}" if effect else "-"
            print(f"| {effect:g} deviations | {seeds} | {shares} | {over:.2f} | {alone} |")


if __name__ == "__main__":
    main()
