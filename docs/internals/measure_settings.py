"""Measure how `precision` and `channels_last` change a step's CPU time: a table of docs/internals/performance.md.

    python -m docs.internals.measure_settings      in the checkout, 2 minutes

Supervised steps of the benchmark's three shapes, all four settings in turn; a value is the median ratio of five rounds.
"""

from benchmarks.clock import in_turn, ratio
from benchmarks.inputs import SHAPES, problem, settings
from benchmarks.process import begin
from benchmarks.steps import METHODS, our_step

PLAIN = "float32, channels_last=false"


def main() -> None:
    begin()
    for name, shape in SHAPES.items():
        works = {
            f"{precision}, channels_last={last}": our_step(
                settings(shape, *METHODS["supervised"], f"precision={precision}", f"channels_last={last}"),
                problem(shape),
            )
            for precision in ("float32", "bfloat16")
            for last in ("true", "false")
        }
        times = in_turn(5, works, 0.1)
        cells = [f"{each} {ratio(times, each, PLAIN).cpu:.2f}" for each in works]
        print(f"{name}: {'; '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
