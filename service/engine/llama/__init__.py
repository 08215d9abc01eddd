"""The only room that imports llama_cpp.

ggml's threads meet after every operation, in libgomp's barrier. By default it spins for milliseconds, so wherever a thread has to wait
for its CPU (a busy node, a quota) the others burn theirs: measured ten times slower. A short spin costs nothing on a free
machine. libgomp reads the variable when it is loaded, so it is set before anything here loads it; what the user set stands.
"""

import os

SPIN_COUNT = "1000"

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
