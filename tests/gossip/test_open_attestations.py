"""When our own attestations are published again."""

from consensus.types import Digest, Seconds
from node.gossip.open_attestations import OpenAttestations
from node.gossip.seen import SeenPayloads
from node.gossip.transport import PeerId

FIRST, SECOND = Digest(b"1" * 32), Digest(b"2" * 32)


def make_open(max_open: int = 10) -> OpenAttestations:
    return OpenAttestations(max_open=max_open, first_pause_seconds=3, longest_pause_seconds=10)


def test_pauses_double_to_the_longest() -> None:
    opened = make_open()
    opened.add(FIRST, b"one", expires_at=Seconds(1_000), at=0)

    due = [second for second in range(60) if opened.take_due(at=second, max_payloads=9)]

    assert due == [3, 9, 19, 29, 39, 49, 59]


def test_settled_one_is_not_repeated_but_still_told() -> None:
    opened = make_open()
    opened.add(FIRST, b"one", expires_at=Seconds(1_000), at=0)

    opened.settle(FIRST)
    opened.settle(SECOND)

    assert opened.take_due(at=100, max_payloads=9) == ()
    assert opened.payloads() == (b"one",)
    assert len(opened) == 0


def test_expired_one_is_forgotten() -> None:
    opened = make_open()
    opened.add(FIRST, b"one", expires_at=Seconds(1_000), at=0)

    opened.prune(Seconds(1_000))
    assert opened.payloads() == (b"one",)
    opened.prune(Seconds(1_001))

    assert opened.payloads() == ()


def test_longest_waiting_goes_first_and_the_rest_next_time() -> None:
    opened = make_open()
    opened.add(SECOND, b"later", expires_at=Seconds(1_000), at=2)
    opened.add(FIRST, b"sooner", expires_at=Seconds(1_000), at=0)

    assert opened.take_due(at=5, max_payloads=1) == (b"sooner",)
    assert opened.take_due(at=5, max_payloads=1) == (b"later",)


def test_open_ones_are_bounded() -> None:
    opened = make_open(max_open=2)
    for number in range(5):
        opened.add(Digest(bytes([number]) * 32), bytes([number]), expires_at=Seconds(1_000), at=0)

    assert opened.payloads() == (b"\3", b"\4")


def test_seen_payloads_are_bounded_and_remember_their_sender() -> None:
    seen = SeenPayloads(2)
    for name in ("a", "b", "c"):
        seen.add(name.encode(), PeerId(name))

    assert b"a" not in seen
    assert (b"b" in seen, b"c" in seen, len(seen)) == (True, True, 2)
    assert seen.sender_of(b"c") == "c"
    assert seen.sender_of(b"a") is None
