"""Benchmarks: the time and memory of this program relative to minimal implementations (`make bench`).

"Ours" is this program. "A over B" is the ratio (time of A) / (time of B), unless a module names another quantity.

goals.py       all entries: name, description, unit, goal
clock.py       paired timing: rounds, medians of ratios
inputs.py      settings, images and files shared by the measurements
steps.py       our training step over a minimal step; share of augmentation; inference over a bare forward pass
peer.py        the published FixMatch step over ours
reference_step.py        that published step, unoptimized
tutorial_comparison.py   the Food-11 tutorial over ours
tutorial.py              the tutorial's program, unoptimized
startup.py     the time of a new process
sweeps.py      the overhead of sweeps
comparison.py  `semisup compare` for many runs
encoder.py     encoding, and runs on stored features
memory.py      bytes per image
mapped.py      a step that reads its images from the cache file
gpu.py         measurements on a CUDA device
results.py     the table, bench.json, and the generated part of docs/internals/performance.md
"""
