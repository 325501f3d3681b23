"""Writes docs/health.md and docs/metrics.md from the tables in the code: `python -m tests.render_operate`."""

from __future__ import annotations

from pathlib import Path

from node.operate.health import CHECKS
from node.operate.metrics import METRICS

DOCS = Path(__file__).parents[1] / "docs"

_HEALTH = """# Is my watcher all right?

`tocsin status` says so, and so does `/readyz` where `operate.listen` is set: both run the checks below on the
watcher as it is at that moment. A critical one means that alerts would be missed or not heard: `/readyz` then
answers 503 and `tocsin status` ends with 5. Each check is also a sample of the metric `tocsin_problems`.

This page is written by `python -m tests.render_operate` from `node/operate/health.py`, which a test sees to.

| code | severity | what is wrong | what to do |
|---|---|---|---|
"""

_METRICS = """# What does a watcher count?

`/metrics` gives these to Prometheus, where `operate.listen` is set in the configuration:

```text
[operate]
listen = "127.0.0.1:9464"
```

Counts begin anew with the process. `reason` is one of [these](reasons.md), `code` one of [these](health.md).

This page is written by `python -m tests.render_operate` from `node/operate/metrics.py`, which a test sees to.

| metric | kind | labels | meaning |
|---|---|---|---|
"""


def render_health() -> str:
    """The page of checks."""
    return _HEALTH + "".join(
        f"| `{check.code}` | {check.severity.value} | {check.title} | {check.remedy} |\n" for check in CHECKS
    )


def render_metrics_page() -> str:
    """The page of metrics."""
    return _METRICS + "".join(
        f"| `{each.full_name}` | {each.kind.value} | {', '.join(f'`{label}`' for label in each.labels)} "
        f"| {each.help} |\n"
        for each in METRICS
    )


if __name__ == "__main__":
    (DOCS / "health.md").write_text(render_health())
    (DOCS / "metrics.md").write_text(render_metrics_page())
