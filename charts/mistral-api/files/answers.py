"""What `helm test` runs in a pod: health, an answer, a stream, metrics."""

import json
import os
import urllib.request

ADDRESS = os.environ["ADDRESS"]
KEY = next(
    (line.strip() for line in os.environ.get("KEYS", "").splitlines() if line.strip() and line.strip()[0] != "#"), ""
)
CHAT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}


def ask(path: str, body: dict[str, object] | None = None) -> str:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {KEY}"} if KEY else {})
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(ADDRESS + path, data, headers), timeout=120) as answer:
        text: str = answer.read().decode()
    print(f"{path}: {answer.status}, {len(text)} characters")
    return text


def expect(true: bool, what: str) -> None:
    if not true:
        raise SystemExit(f"not as expected: {what}")


ask("/health/live")
ask("/health/ready")
answer = json.loads(ask("/v1/chat/completions", CHAT))
expect(answer["usage"]["completion_tokens"] > 0, "an answer has tokens")
events = [
    line for line in ask("/v1/chat/completions", CHAT | {"stream": True}).splitlines() if line.startswith("data: ")
]
expect(len(events) > 2 and events[-1] == "data: [DONE]", "a stream has events and an end")
expect("mistral_" in ask("/metrics"), "/metrics has the service's own metrics")
print("all is well")
