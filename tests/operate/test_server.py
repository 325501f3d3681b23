"""The door for who looks on, asked over HTTP; and what `tocsin status` makes of it."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from consensus.errors import Reason, Refused, Unavailable
from node.operate.asking import fetch_status
from node.operate.metrics import METRICS
from node.operate.server import open_server
from node.operate.snapshot import Snapshot
from node.operate.status import describe, render_status
from tests.operate.snapshots import chain, snapshot
from tests.render_operate import render_metrics_page

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
FINE = snapshot()
BROKEN = snapshot(chains=(chain(head_age_seconds=None),))


@asynccontextmanager
async def _asked(take: Callable[[], Snapshot]) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        open_server("127.0.0.1:0", take) as address,
        httpx.AsyncClient(base_url=address, trust_env=False) as client,
    ):
        yield client


async def test_readiness_is_looked_at_anew_each_time() -> None:
    now = [BROKEN]
    async with _asked(lambda: now[0]) as client:
        broken = await client.get("/readyz")
        now[0] = FINE
        fine = await client.get("/readyz")

    assert (broken.status_code, fine.status_code) == (503, 200)
    assert fine.json() == {"ready": True, "problems": []}
    (problem,) = broken.json()["problems"]
    assert problem["code"] == "TOCSIN-HEADS-01"
    assert problem["remedy"]


async def test_a_watcher_that_is_not_ready_is_alive() -> None:
    async with _asked(lambda: BROKEN) as client:
        assert (await client.get("/livez")).status_code == 200


async def test_nothing_can_be_changed_and_nothing_else_is_there() -> None:
    async with _asked(lambda: FINE) as client:
        assert (await client.post("/status")).status_code == 405
        assert (await client.get("/secrets")).status_code == 404


async def test_every_metric_of_the_table_is_given_with_its_kind_and_labels() -> None:
    async with _asked(lambda: BROKEN) as client:
        answer = await client.get("/metrics")

    given = {family.name: family for family in text_string_to_metric_families(answer.text)}
    for each in METRICS:
        family = given.pop(each.full_name.removesuffix("_total"))
        assert family.type == each.kind.value
        assert all(set(sample.labels) == set(each.labels) for sample in family.samples), each.name
    assert not given
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_what_is_wrong_is_a_sample_of_its_code() -> None:
    async with _asked(lambda: BROKEN) as client:
        text = (await client.get("/metrics")).text

    assert 'tocsin_problems{code="TOCSIN-HEADS-01",severity="critical"} 1.0' in text
    assert 'tocsin_problems{code="TOCSIN-SIGN-01",severity="critical"} 0.0' in text
    assert "tocsin_ready 0.0" in text


def test_the_page_of_metrics_is_what_the_table_renders() -> None:
    assert PAGE.read_text() == render_metrics_page(), "run: python -m tests.render_operate"


async def test_a_place_that_is_taken_is_refused_by_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Refused, match=place) as refused:
            async with open_server(place, lambda: FINE):
                pass

    assert refused.value.reason is Reason.BAD_CONFIG


async def test_status_is_what_the_watcher_says() -> None:
    async with open_server("127.0.0.1:0", lambda: FINE) as address:
        assert await fetch_status(address) == json.loads(json.dumps(describe(FINE)))


async def test_no_watcher_and_no_status_are_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(Unavailable, match="is `tocsin run` up"):
        await fetch_status(address)


def test_status_in_words_tells_quiet_from_broken() -> None:
    quiet, broken = render_status(describe(FINE)), render_status(describe(BROKEN))

    assert quiet.startswith("ready")
    assert "nothing is wrong" in quiet
    assert broken.startswith("NOT READY")
    assert "TOCSIN-HEADS-01" in broken
    assert "no block yet" not in quiet
