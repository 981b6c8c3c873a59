"""Benchmarks: the cost of this program as ratios to minimal implementations (`make bench`).

goals.py       all entries: name, description, unit, goal
clock.py       paired timing: rounds, medians of ratios
inputs.py      settings, images and files shared by the measurements
steps.py       our step over the bare model's; share of augmentation; inference over a bare forward pass
peer.py        the published FixMatch step over ours           reference_step.py   that step, unoptimized
tutorial_comparison.py   the Food-11 tutorial over ours        tutorial.py         that program, unoptimized
startup.py     a new process            sweeps.py   many runs          memory.py   bytes per image
gpu.py         on a CUDA device
results.py     the table, bench.json, and the generated part of docs/internals/performance.md
"""
