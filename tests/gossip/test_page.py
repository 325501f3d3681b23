"""The budgets on docs/network.md are those of the code."""

from pathlib import Path

import pytest

from node.gossip import asked, frames, hardening, reconciler, room
from node.gossip.budgets import JOINED_VERIFICATION_US, LONE_VERIFICATION_US, Limits, Rate
from node.gossip.frames import MAX_BODY_BYTES, SPREAD, Kind
from node.gossip.host import INBOX_PAYLOADS, HostConfig

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "network.md").read_text()
LIMITS = Limits()
HOST = HostConfig(seed=bytes(32), listen="/ip4/127.0.0.1/tcp/0", topic="t")


def size(count: float) -> str:
    kib = count / 1024
    return f"{kib / 1024:,.0f} MiB" if kib >= 1024 else f"{kib:,.0f} KiB"


def rate(what: Rate) -> str:
    return (
        f"| {what.messages_per_second:,.0f} a second, {size(what.bytes_per_second)} a second "
        f"| {what.message_burst:,}, {size(what.byte_burst)} |"
    )


@pytest.mark.parametrize("what", [LIMITS.author, LIMITS.link, reconciler.QUESTIONS, reconciler.ANSWERS])
def test_each_rate_stands_on_the_page(what: Rate) -> None:
    assert rate(what) in PAGE


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_stands_on_the_page_with_its_limit(kind: Kind) -> None:
    head = f"| {kind.value} {kind.name.lower().replace('_', ' ')} |"
    (row,) = [line for line in PAGE.splitlines() if line.startswith(head)]

    limit = MAX_BODY_BYTES[kind] + (1 if kind is Kind.ATTESTATION else 0)
    assert f"| {limit / 1024:g} KiB |" in row
    assert row.endswith("| yes |" if kind in SPREAD else "| no |")


@pytest.mark.parametrize(
    "text",
    [
        f"{LONE_VERIFICATION_US // 1_000} ms for an alert",
        f"{JOINED_VERIFICATION_US / 1_000:g} ms for one that is joined "
        f"| {LIMITS.verification_us_per_second // 1_000:.0f} ms a second "
        f"| {LIMITS.verification_burst_us / 1e6:.0f} s |",
        f"| {hardening.CONNECTIONS.messages_per_second} a second | {hardening.CONNECTIONS.message_burst} |",
        f"{hardening.MAX_HANDSHAKES_PER_ADDRESS} an address, {hardening.MAX_HANDSHAKES} in all",
        f"streams of one peer | | {hardening.MAX_STREAMS_PER_PEER} |",
        f"| {HOST.send_queue_payloads:,} frames, {size(HOST.send_queue_bytes)} |",
        f"published | {HOST.pubsub_backlog_payloads:,} frames |",
        f"parsing | {INBOX_PAYLOADS:,} frames |",
        f"the tally | {room.MAX_WAITING:,} attestations |",
        f"seen | {room.MAX_SEEN_PAYLOADS:,} hashes |",
        f"wanted | {room.MAX_OPEN:,} |",
        f"connected | {hardening.MAX_ADDRESSES_REMEMBERED:,} |",
        f"ban of {LIMITS.ban_seconds / 60:.0f} minutes",
        f"up to {reconciler.PEERS_PER_ROUND} peers",
    ],
)
def test_each_bound_stands_on_the_page(text: str) -> None:
    assert text in PAGE.replace("\n", " ")


def test_the_page_speaks_of_rounds_and_patience_as_they_are() -> None:
    assert reconciler.ROUND_SECONDS == asked.PATIENCE_SECONDS == 2
    assert LIMITS.longest_ban_seconds == 3_600
    assert frames.NEWEST_VERSION == 2
