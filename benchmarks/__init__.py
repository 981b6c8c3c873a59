"""Benchmarks: the time and memory of semisup relative to minimal implementations (`make bench`).

In the names of entries, "A over B" is the ratio (time of A) / (time of B), and "ours" is semisup.

goals.py       all entries: name, description, unit, goal
clock.py       paired timing: rounds, medians of ratios
inputs.py      settings, images and files shared by the measurements
steps.py       training steps, augmentation and inference, relative to bare forward and backward passes
peer.py        the published FixMatch step relative to the step of semisup
reference_step.py        the published FixMatch step, without optimizations
tutorial_comparison.py   the program of the Food-11 tutorial relative to semisup
tutorial.py              the program of the Food-11 tutorial, without optimizations
startup.py     the time of a new process
sweeps.py      the overhead of sweeps
comparison.py  `semisup compare` for many runs
encoder.py     encoding, and runs on stored features
memory.py      bytes per image
mapped.py      a step that reads its images from the cache file
gpu.py         measurements on a CUDA device
gpu_day.py     the measurements of gpu.py and others within a limited time
halving.py     successive halving compared with a grid
labeling.py    the images and labels that `semisup label` chooses
results.py     the table, bench.json, and the generated part of docs/internals/performance.md
"""
