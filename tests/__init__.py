"""Tests of semisup."""

import os

# pyarrow's jemalloc starts a thread at its import; since Python 3.12, os.fork warns in a process with several threads.
os.environ.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false")
