"""What happens to streams while pods come and go."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.cluster.release import Load, Release, run

Make = Callable[..., Release]


def test_upgrades_fail_no_request(release: Make, image: str) -> None:
    llm = release()
    llm.install()
    load = Load(llm, image)
    for round_number in range(10):
        llm.install(podAnnotations={"round": str(round_number)})
    result = load.result()
    assert not result["failed"], "\n".join(result["failed"])
    assert result["whole"] > 20


def test_a_deleted_pod_loses_nothing_that_had_begun(release: Make, image: str) -> None:
    llm = release(scaling__replicas=2)
    llm.install()
    load = Load(llm, image)
    run("kubectl", "-n", llm.namespace, "delete", "pod", llm.pods()[0].metadata.name)
    llm.wait_ready()
    failed = load.result()["failed"]
    assert not failed, "\n".join(failed)


def test_scaling_up_and_down_fails_no_request(release: Make, image: str) -> None:
    llm = release()
    llm.install()
    load = Load(llm, image)
    llm.install(scaling__replicas=3)
    llm.install(scaling__replicas=1)
    time.sleep(10)  # the pods that leave are on their way
    failed = load.result()["failed"]
    assert not failed, "\n".join(failed)
