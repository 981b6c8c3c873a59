"""The kill harness: the program killed by SIGKILL at everything that it does to its files and at every event.

    python -m tests.kill FOLDER            what `make check` runs: some points of every kind
    python -m tests.kill FOLDER --whole    every point of one small run, one of each sort of another
    python -m tests.kill FOLDER --soak N   every point of both, and N crash loops of each

points.py     sees every open, write, fsync, rename, link, unlink, truncate of a run, and dies there if told to
attempt.py    one process of a run, forked from a warm parent: killed, or left to end
oracles.py    what must hold at the end
defects.py    mistakes made on purpose, each of which an oracle must notice
power.py      what a disk may hold after the power went, from what was really written
"""
