"""What a long run reports is what was sampled."""

from __future__ import annotations

import pytest

from node.operate.metrics import render_metrics
from tests.bench.soak import Sample, compute_slope, compute_spark, read_metrics, summarise
from tests.operate.snapshots import snapshot

MIB = 2**20


def sample(seconds: float, **changes: int) -> Sample:
    values = {"resident_bytes": 100 * MIB, "open_files": 20, "threads": 4, "tasks": 50, "behind_blocks": 0}
    return Sample(watcher="w1", seconds=seconds, **(values | changes))


def test_a_slope_is_the_rise_for_each_unit() -> None:
    assert compute_slope([(0.0, 5.0), (1.0, 7.0), (2.0, 9.0)]) == pytest.approx(2.0)
    assert compute_slope([(0.0, 5.0), (1.0, 5.0)]) == 0.0
    assert compute_slope([(1.0, 5.0)]) == 0.0
    assert compute_slope([(1.0, 5.0), (1.0, 9.0)]) == 0.0


def test_a_leak_of_a_mebibyte_a_minute_is_sixty_an_hour_and_the_warm_up_does_not_count() -> None:
    warm_up = [sample(minute * 60, resident_bytes=minute * 50 * MIB) for minute in range(10)]
    leaking = [sample(600 + m * 60, resident_bytes=(500 + m) * MIB, open_files=20 + m) for m in range(30)]

    told = summarise([*warm_up, *leaking])

    assert told["samples"] == 30
    assert told["resident_mib_slope_per_hour"] == pytest.approx(60.0)
    assert (told["open_files_first"], told["open_files_last"]) == (20, 49)


def test_a_spark_rises_from_the_smallest_to_the_largest_and_is_bounded() -> None:
    assert compute_spark([1.0, 2.0, 3.0]) == "▁▄█"
    assert compute_spark([3.0] * 5) == "▁" * 5
    assert len(compute_spark(list(map(float, range(1_000))))) == 40


def test_the_figures_of_a_watcher_are_read_from_its_metrics() -> None:
    metrics = read_metrics(render_metrics(snapshot).decode())

    assert metrics["tocsin_tasks", ""] == snapshot().tasks
    assert metrics["tocsin_head_block_number", "1"] > 0
