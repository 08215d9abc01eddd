"""The only room that imports llama_cpp."""

import os

IDLE_SPINS = "10000"
"""How often a thread of the kernels looks for the next step before it sleeps and leaves its CPU to the event loop: for a fraction of a
millisecond. libgomp's own default is 300,000."""

# libgomp reads this when it is loaded, which importing llama_cpp does. Who has said how threads are to wait knows better.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", IDLE_SPINS)
