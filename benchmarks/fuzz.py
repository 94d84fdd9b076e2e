"""Ten thousand requests made from the OpenAPI description, half of them broken, at a service with fakes.

    python benchmarks/fuzz.py [REQUESTS]

Writes benchmarks/results/fuzz.json: answers by status, how long it took. Ends with an error at the first answer that is
a server error, or that the description does not tell of.
"""

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

import machine  # noqa: E402
from fuzzing import fuzz, operations  # noqa: E402  they lie among the tests
from serving import WRITER, Told, documents, serving  # noqa: E402

EXAMPLES = 60
"""Of each kind for each operation in a round; each round has a seed of its own."""


def main(wanted: int) -> None:
    statuses: Counter[int] = Counter()
    by_operation: dict[str, Counter[int]] = {}
    begun, rounds = time.perf_counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        root = documents(Path(folder) / "docs")
        with serving(root, WRITER, writer=Told()) as server:
            while sum(statuses.values()) < wanted:
                rounds += 1
                for operation in operations(server.app.openapi()):
                    answers = fuzz(operation, server.url, EXAMPLES, rounds)
                    statuses += answers
                    by_operation.setdefault(operation.label, Counter()).update(answers)
    report = {
        "requests": sum(statuses.values()),
        "by_status": {str(status): statuses[status] for status in sorted(statuses)},
        "server_errors": sum(count for status, count in statuses.items() if status >= 500),
        "seconds": round(time.perf_counter() - begun, 1),
        "rounds": rounds,
        "by_operation": {
            label: {str(status): answers[status] for status in sorted(answers)}
            for label, answers in by_operation.items()
        },
    }
    print(json.dumps(report, indent=1))
    machine.save("fuzz", report)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
