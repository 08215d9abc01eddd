"""`make helm` leaves helm in build/; where none is on the PATH the tests take that."""

from __future__ import annotations

import os
import shutil

from tests.chart.rendering import HELM_4

if shutil.which("helm") is None and HELM_4.exists():
    os.environ["PATH"] = f"{HELM_4.parent}{os.pathsep}{os.environ['PATH']}"
