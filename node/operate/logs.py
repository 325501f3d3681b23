"""Structured logs: one event a line, a fixed name and keys from one list, for a person or for a machine.

`at_ms` (Unix milliseconds) stands in every line. It is for people and for the latency report: no clock
reading ever enters what is signed.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from node.config import LogFormat


def configure_logs(form: LogFormat, *, stream: TextIO | None = None, **bound: Any) -> None:
    """Send every structlog event to `stream`, or to standard output, in `form`, with `bound` keys in each
    line.

    The libraries' own loggers (libp2p, httpx) are heard from warnings up, in the same form.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _stamp,
        _bytes_to_hex,
    ]
    stream = sys.stdout if stream is None else stream
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**bound)
    renderer: Any = (
        structlog.processors.JSONRenderer(default=str)
        if form is LogFormat.JSON
        else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


def _stamp(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["at_ms"] = time.time_ns() // 1_000_000
    return event


def _bytes_to_hex(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, bytes):
            event[key] = "0x" + value.hex()
    return event
