"""What this program costs, as ratios to what it cannot do without: `make bench`.

goals.py       every entry by name: what it is, its unit, its goal
clock.py       measured in turn: rounds, medians of ratios
made.py        settings, images and files that the measurements share
steps.py       our step over the bare model's; augmentation's share; scoring over a bare forward pass
peer.py        the published FixMatch step over ours           reference_step.py   that step, plainly
seed.py        the Food-11 tutorial over ours                  tutorial.py         that program, plainly
startup.py     a fresh process          sweeps.py   many runs          memory.py   bytes an image
gpu.py         where there is a CUDA device
results.py     the table, bench.json, and the part of docs/internals/performance.md that is written by a command
"""
