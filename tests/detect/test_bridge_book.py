"""What a block releases unbacked: a function of both chains' spans, whoever reads them and when."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest

from consensus.alert import Level
from consensus.errors import Unavailable
from consensus.fields import keccak256
from consensus.types import BlockHash, BlockNumber, ChainId, Seconds
from node.bridge import Claim, EventShape, MessageId
from node.detect import bridge_book
from node.detect.bridge_book import BridgeBook, BridgeEvent, Take
from node.detect.bridge_mismatch import BridgeParameters, TokenValue
from node.detect.bridge_policy import BridgePolicy
from node.evaluate.expressions import Undefined
from node.trace import Account, Token, TokenUnits

TOKEN, OTHER = Token(Account("0x" + "d1" * 20)), Token(Account("0x" + "d2" * 20))
USER = Account("0x" + "aa" * 20)
SHAPE = EventShape(
    chain_id=ChainId(1),
    contract="0x27182842E098f60e3D576794A5bFFb0777E025d3",  # type: ignore[arg-type]
    signature="Moved(address token, address to, uint256 units)",
    message_id=None,
    token="token",
    beneficiary="to",
    units="units",
)
LOOKBACK = Seconds(1_000)
START = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """A block; `branch` tells it from its twin."""

    chain_id: ChainId
    number: BlockNumber
    hash: BlockHash
    parent_hash: BlockHash
    timestamp: Seconds


def ref(number: int, branch: str = "") -> Ref:
    return Ref(
        chain_id=ChainId(1),
        number=BlockNumber(number),
        hash=BlockHash(keccak256(f"{number}{branch}".encode())),
        parent_hash=BlockHash(bytes(32)),
        timestamp=Seconds(START + 10 * number),
    )


def claim(number: int = 1, *, token: Token = TOKEN, units: int = 100) -> Claim:
    return Claim(MessageId(number), token, USER, TokenUnits(units))


def event(of: Claim, number: int, branch: str = "") -> BridgeEvent:
    at = ref(number, branch)
    return BridgeEvent(claim=of, number=at.number, block_hash=at.hash, at=at.timestamp, reference="0x")


def make_book(**changes: Any) -> BridgeBook:
    fields: dict[str, Any] = {
        "finality_seconds": Seconds(30),
        "clock_seconds": Seconds(0),
        "outstanding_burns": 1_000,
        "waiting_releases": 10,
        "window_seconds": Seconds(100),
        "least_values": ((Level.ALERT, 0),),
        "values": {TOKEN: TokenValue(numerator=3, denominator=1)},
    }
    policy = BridgePolicy(
        name="bridge",
        version=1,
        parameters=BridgeParameters(**(fields | changes)),
        burns=SHAPE,
        releases=SHAPE,
        tokens={TOKEN: TOKEN},
    )
    book = BridgeBook(policy, LOOKBACK)
    book.begin_burns(Seconds(0))
    book.releases.begin(Seconds(0))
    return book


def told(book: BridgeBook, *, burns_to: int = 1_000, releases_to: int = 1_000) -> BridgeBook:
    book.burns.reach(ref(burns_to))
    book.releases.reach(ref(releases_to))
    return book


def test_a_release_is_backed_by_a_burn_of_the_same_claim_that_is_not_later() -> None:
    book = make_book()
    book.add_burns([event(claim(1), 10), event(claim(2), 31)])
    book.releases.add([event(claim(1), 30), event(claim(2), 30), event(claim(3), 30)])
    told(book)

    assert book.value(ref(30), Take.COUNT) == 2
    assert book.value(ref(30), Take.VALUE) == 2 * 300
    assert book.value(ref(31), Take.COUNT) == 0


def test_each_burn_backs_one_release() -> None:
    book = make_book()
    book.add_burns([event(claim(), 10), event(claim(), 25)])
    book.releases.add([event(claim(), 20), event(claim(), 22), event(claim(), 30), event(claim(), 30)])
    told(book)

    assert [book.value(ref(number), Take.COUNT) for number in (20, 22, 30)] == [0, 1, 1]


def test_a_token_without_worth_counts_and_has_no_value() -> None:
    book = make_book()
    book.releases.add([event(claim(token=OTHER), 30)])
    told(book)

    assert (book.value(ref(30), Take.COUNT), book.value(ref(30), Take.VALUE)) == (1, 0)


def test_it_is_unknown_while_the_other_chain_has_not_passed_the_release_by_the_finality() -> None:
    book = make_book()
    book.releases.add([event(claim(), 30)])
    told(book, burns_to=33)  # its second may go on

    with pytest.raises(Unavailable, match="the other chain was read up to"):
        book.value(ref(30), Take.COUNT)
    assert book.value(ref(31), Take.COUNT) == 0, "a block without releases needs no other chain"

    told(book, burns_to=34)
    assert book.value(ref(30), Take.COUNT) == 1


def test_a_block_that_was_not_reached_or_lies_before_the_span_is_unknown() -> None:
    book = make_book()
    book.burns.begin(Seconds(START))
    told(book, releases_to=200)

    assert not book.knows(ref(201))
    assert not book.knows(ref(99))
    assert book.knows(ref(100)), "its span is whole"


def test_a_burn_that_is_older_than_the_span_backs_nothing() -> None:
    book = make_book()
    book.add_burns([event(claim(1), 1), event(claim(2), 0)])
    book.releases.add([event(claim(1), 101), event(claim(2), 101)])
    told(book)

    assert book.value(ref(101), Take.COUNT) == 1


def test_a_block_of_another_branch_is_unknown() -> None:
    book = make_book()
    book.releases.add([event(claim(), 30)])
    told(book)

    with pytest.raises(Unavailable):
        book.value(ref(30, "another"), Take.COUNT)


def test_what_a_reorg_takes_back_is_forgotten_on_either_side() -> None:
    book = make_book()
    book.add_burns([event(claim(1), 10)])
    book.releases.add([event(claim(1), 30)])
    told(book)
    assert book.value(ref(30), Take.COUNT) == 0

    book.retract_burns(BlockNumber(10))
    told(book)
    assert book.value(ref(30), Take.COUNT) == 1

    book.add_burns([event(claim(1), 11, "b")])
    book.releases.retract(BlockNumber(30))
    book.releases.add([event(claim(1), 31, "b")])
    told(book)
    assert (book.value(ref(30, "b"), Take.COUNT), book.value(ref(31, "b"), Take.COUNT)) == (0, 0)


def test_small_burns_that_had_to_be_forgotten_make_small_releases_unknown_and_no_large_one() -> None:
    book = make_book(outstanding_burns=2)
    book.add_burns([event(claim(number, units=number), 10) for number in (5, 7, 3, 9)])
    book.releases.add(
        [event(claim(5, units=5), 30), event(claim(11, units=11), 31), event(claim(9, units=9), 32)]
    )
    told(book)

    assert isinstance(book.value(ref(30), Take.COUNT), Undefined)
    assert (book.value(ref(31), Take.COUNT), book.value(ref(32), Take.COUNT)) == (1, 0)


def test_with_too_many_releases_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge_book, "MAX_RELEASES", 2)
    book = make_book()
    book.releases.add([event(claim(number), 30) for number in range(3)])
    told(book)

    assert isinstance(book.value(ref(30), Take.COUNT), Undefined)


def test_what_is_older_than_any_look_back_leaves_the_book() -> None:
    book = make_book()
    book.add_burns([event(claim(1), 1), event(claim(2), 9_000)])
    book.releases.add([event(claim(1), 2)])
    told(book, burns_to=10_000, releases_to=10_000)

    book.prune()

    assert (len(book.burns), len(book.releases)) == (1, 0)
    assert not book.knows(ref(7_800))
    assert book.knows(ref(7_950))


@pytest.mark.parametrize("seed", range(20))
def test_whoever_starts_later_and_whoever_saw_a_reorg_says_the_same(seed: int) -> None:
    chance = random.Random(seed)
    claims = [claim(number, units=chance.randint(1, 5)) for number in range(4)]

    def events(first: int, branch: str, most: int = 2) -> list[BridgeEvent]:
        return [
            event(chance.choice(claims), number, branch)
            for number in range(first, 300)
            for _ in range(chance.randint(0, most))
        ]

    burns, releases = events(0, "", 1), events(0, "")
    fork = chance.randint(200, 299)
    canonical = {
        name: [each for each in side if each.number < fork] + events(fork, "b")
        for name, side in (("burns", burns), ("releases", releases))
    }
    through = make_book()
    through.add_burns(burns)
    through.releases.add(releases)
    through.retract_burns(BlockNumber(fork))
    through.add_burns(each for each in canonical["burns"] if each.number >= fork)
    through.releases.retract(BlockNumber(fork))
    through.releases.add(each for each in canonical["releases"] if each.number >= fork)
    late = make_book()
    late.begin_burns(ref(150).timestamp)
    late.releases.begin(ref(150).timestamp)
    late.add_burns(each for each in canonical["burns"] if each.number >= 150)
    late.releases.add(each for each in canonical["releases"] if each.number >= 150)
    told(through), told(late)

    for number in range(250, 300):
        block = ref(number, "b" if number >= fork else "")
        for take in Take:
            assert through.value(block, take) == late.value(block, take)
    assert any(
        through.value(ref(number, "b" if number >= fork else ""), Take.COUNT) for number in range(250, 300)
    )
