"""The bridge mismatch detector: what backs a release, when it can be told, and what is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.alert import Level
from consensus.errors import Reason, Refused
from consensus.types import Seconds
from node.bridge import Burn, Claim, MessageId, Release
from node.detect import bridge_mismatch
from node.detect.bridge_mismatch import Backing, BridgeMismatch, BridgeParameters, TokenValue, Verdict
from node.trace import Account, Token, TokenUnits

COIN, OTHER_COIN, DUST = (Token(Account(f"0x{letter * 40}")) for letter in "abd")
ALICE, MALLORY = Account("0x" + "1" * 40), Account("0x" + "2" * 40)
END = Seconds(10**9)


def claim(
    message_id: int = 1, *, token: Token = COIN, beneficiary: Account = ALICE, units: int = 100
) -> Claim:
    return Claim(MessageId(message_id), token, beneficiary, TokenUnits(units))


def burn(of: Claim, at: int = 1_000, reference: str = "burn") -> Burn:
    return Burn(claim=of, burnt_at=Seconds(at), reference=reference)


def release(of: Claim, at: int = 2_000, reference: str = "release") -> Release:
    return Release(claim=of, released_at=Seconds(at), reference=reference)


def parameters(**changes: object) -> BridgeParameters:
    values: dict[str, object] = {
        "finality_seconds": Seconds(0),
        "clock_seconds": Seconds(0),
        "outstanding_burns": 1_000,
        "waiting_releases": 1_000,
        "window_seconds": Seconds(600),
        "least_values": ((Level.ALERT, 0), (Level.LIMIT, 1_000), (Level.PAUSE, 5_000)),
        "values": {COIN: TokenValue(numerator=10, denominator=1)},
    }
    return BridgeParameters(**(values | changes))  # type: ignore[arg-type]


def judged(burns: list[Burn], releases: list[Release], **changes: object) -> list[Verdict]:
    """The verdicts once the source has been read to its end."""
    detector = BridgeMismatch(parameters(**changes))
    for each in burns:
        detector.add_burn(each)
    for each in releases:
        assert detector.add_release(each) == ()
    return list(detector.advance_source(END))


def backings(burns: list[Burn], releases: list[Release], **changes: object) -> list[Backing]:
    return [verdict.backing for verdict in judged(burns, releases, **changes)]


# --- true, near miss, benign


def test_a_release_that_its_burn_backs_is_nothing() -> None:
    (verdict,) = judged([burn(claim())], [release(claim())])

    assert (verdict.backing, verdict.level) == (Backing.BACKED, None)
    assert verdict.burn is not None
    assert verdict.burn.reference == "burn"


def test_a_release_out_of_nothing_is_told_with_who_got_what() -> None:
    (verdict,) = judged([], [release(claim(7, beneficiary=MALLORY, units=600))])

    assert verdict.backing is Backing.UNBACKED
    assert (verdict.value, verdict.window_value, verdict.level) == (6_000, 6_000, Level.PAUSE)
    assert "600 of 0xaaaaaaaa…aaaa worth 6000 went to 0x22222222…2222 as message 7" in verdict.summary


@pytest.mark.parametrize(
    "paid",
    [claim(units=101), claim(units=99), claim(beneficiary=MALLORY), claim(token=OTHER_COIN), claim(2)],
    ids=["a unit more", "a unit less", "wrong beneficiary", "wrong token", "wrong id"],
)
def test_a_release_that_differs_from_the_burn_in_one_field_is_unbacked(paid: Claim) -> None:
    assert backings([burn(claim())], [release(paid)]) == [Backing.UNBACKED]


def test_a_burn_backs_one_release_and_not_its_replay() -> None:
    twice = [release(claim(), 2_000, "first"), release(claim(), 2_001, "second")]

    assert backings([burn(claim())], twice) == [Backing.BACKED, Backing.UNBACKED]
    assert backings([burn(claim()), burn(claim(), 1_001)], twice) == [Backing.BACKED, Backing.BACKED]


def test_a_burn_after_the_release_does_not_back_it() -> None:
    assert backings([burn(claim(), 2_001)], [release(claim(), 2_000)]) == [Backing.UNBACKED]
    assert backings([burn(claim(), 2_000)], [release(claim(), 2_000)]) == [Backing.BACKED]


def test_clocks_that_differ_by_what_is_allowed_do_not_alarm() -> None:
    late = [burn(claim(), 2_030)]

    assert backings(late, [release(claim(), 2_000)], clock_seconds=30) == [Backing.BACKED]
    assert backings(late, [release(claim(), 1_999)], clock_seconds=30) == [Backing.UNBACKED]


def test_a_burn_that_an_earlier_release_needs_is_not_given_to_a_later_one() -> None:
    early, late = burn(claim(), 1_000, "early"), burn(claim(), 3_000, "late")

    verdicts = judged([late, early], [release(claim(), 4_000, "b"), release(claim(), 2_000, "a")])

    assert [(each.release.reference, each.burn and each.burn.reference) for each in verdicts] == [
        ("a", "early"),
        ("b", "late"),
    ]


# --- unknown stays unknown


def test_a_release_waits_until_the_source_is_past_it_and_final() -> None:
    detector = BridgeMismatch(parameters(finality_seconds=60))
    waiting = release(claim(), 2_000)

    assert detector.add_release(waiting) == ()
    assert detector.advance_source(Seconds(2_059)) == ()
    assert detector.waiting == (waiting,)
    (verdict,) = detector.advance_source(Seconds(2_060))

    assert verdict.backing is Backing.UNBACKED
    assert detector.waiting == ()


def test_a_burn_that_arrives_late_from_a_lagging_source_still_backs_its_release() -> None:
    detector = BridgeMismatch(parameters())
    detector.add_release(release(claim(), 2_000))
    detector.advance_source(Seconds(1_500))
    detector.add_burn(burn(claim(), 1_900))

    (verdict,) = detector.advance_source(Seconds(2_000))

    assert verdict.backing is Backing.BACKED


def test_a_release_is_judged_at_once_where_the_source_is_ahead() -> None:
    detector = BridgeMismatch(parameters(), seen_until=Seconds(5_000))

    (verdict,) = detector.add_release(release(claim(), 2_000))

    assert verdict.backing is Backing.UNBACKED


def test_releases_beyond_what_may_wait_are_given_up_as_unknown_and_never_as_attack() -> None:
    detector = BridgeMismatch(parameters(waiting_releases=2))
    for number in range(2):
        detector.add_release(release(claim(number), 2_000 + number))

    (verdict,) = detector.add_release(release(claim(2), 2_002))

    assert (verdict.backing, verdict.level) == (Backing.UNKNOWN, None)
    assert verdict.release.claim.message_id == 0
    assert "was read up to -1 only" in verdict.summary
    assert (detector.statistics().waiting, detector.statistics().unknown) == (2, 1)


def test_a_burn_in_a_time_that_was_told_in_full_is_refused() -> None:
    detector = BridgeMismatch(parameters(), seen_until=Seconds(1_000))

    with pytest.raises(Refused, match="read up to 1000") as raised:
        detector.add_burn(burn(claim(), 1_000))
    assert raised.value.reason is Reason.OUT_OF_ORDER
    detector.add_burn(burn(claim(), 1_001))


def test_a_release_older_than_one_that_was_judged_is_refused() -> None:
    detector = BridgeMismatch(parameters(), seen_until=END)
    detector.add_release(release(claim(), 2_000))

    with pytest.raises(Refused, match="order of their blocks") as raised:
        detector.add_release(release(claim(), 1_999))
    assert raised.value.reason is Reason.OUT_OF_ORDER


def test_the_source_never_goes_back() -> None:
    detector = BridgeMismatch(parameters(), seen_until=Seconds(2_000))
    detector.advance_source(Seconds(1_000))

    assert detector.seen_until == 2_000


def test_a_warm_start_knows_what_was_outstanding() -> None:
    warm = BridgeMismatch(parameters(), outstanding=[burn(claim())], seen_until=Seconds(1_500))
    cold = BridgeMismatch(parameters(), seen_until=Seconds(1_500))

    assert [each.add_release(release(claim(), 1_500))[0].backing for each in (warm, cold)] == [
        Backing.BACKED,
        Backing.UNBACKED,
    ]


# --- bounded memory


def test_small_burns_that_nobody_collects_are_forgotten_first_and_then_unknown() -> None:
    spam = [burn(claim(number, units=number), 10 + number) for number in range(1, 11)]
    detector = BridgeMismatch(parameters(outstanding_burns=4))
    for each in spam:
        detector.add_burn(each)
    detector.advance_source(END)

    assert (detector.statistics().outstanding, detector.statistics().forgotten) == (4, 6)
    forgotten, kept, forged = (
        detector.add_release(release(of, 2_000 + place))[0].backing
        for place, of in enumerate([claim(6, units=6), claim(7, units=7), claim(11, units=11)])
    )
    assert (forgotten, kept, forged) == (Backing.UNKNOWN, Backing.BACKED, Backing.UNBACKED)


def test_of_burns_alike_the_earliest_are_kept() -> None:
    detector = BridgeMismatch(parameters(outstanding_burns=1))
    for at in (1_000, 3_000):
        detector.add_burn(burn(claim(), at))
    detector.advance_source(END)

    assert detector.add_release(release(claim(), 2_000))[0].backing is Backing.BACKED


def test_worthless_tokens_do_not_push_out_what_the_policy_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge_mismatch, "MAX_TOKENS", 1)
    detector = BridgeMismatch(parameters())
    for token in (DUST, OTHER_COIN, COIN):
        detector.add_burn(burn(claim(token=token)))
    detector.advance_source(END)

    of_a_forgotten_token = detector.add_release(release(claim(token=OTHER_COIN)))[0]
    of_a_valued_one = [detector.add_release(release(claim()))[0].backing for _ in range(2)]

    assert of_a_forgotten_token.backing is Backing.UNKNOWN
    assert of_a_valued_one == [Backing.BACKED, Backing.UNBACKED]


def test_what_was_collected_leaves_no_trace() -> None:
    detector = BridgeMismatch(parameters(outstanding_burns=8))
    for number in range(2_000):
        detector.add_burn(burn(claim(number), 1_000 + number))
        detector.advance_source(Seconds(1_000 + number))
        detector.add_release(release(claim(number), 1_000 + number))

    assert detector.statistics().outstanding == 0
    assert detector.statistics().forgotten == 0
    assert len(detector._burns._sizes[COIN]) <= 128
    assert not detector._burns._by_claim


# --- value


def test_unbacked_value_is_summed_over_the_window_and_sets_the_level() -> None:
    steps = [release(claim(place, units=60), 2_000 + 300 * place) for place in range(4)]

    verdicts = judged([], steps)

    assert [each.window_value for each in verdicts] == [600, 1_200, 1_800, 1_800]
    assert [each.level for each in verdicts] == [Level.ALERT, Level.LIMIT, Level.LIMIT, Level.LIMIT]


def test_a_token_of_unknown_value_reaches_the_first_level_and_no_more() -> None:
    unvalued = {"least_values": ((Level.ALERT, 1), (Level.PAUSE, 2))}

    (verdict,) = judged([], [release(claim(token=DUST, units=2**255))], **unvalued)

    assert (verdict.value, verdict.level) == (None, Level.ALERT)
    assert "of unknown value" in verdict.summary


@pytest.mark.parametrize(
    "changes",
    [
        {"finality_seconds": -1},
        {"clock_seconds": -1},
        {"outstanding_burns": 0},
        {"waiting_releases": 0},
        {"window_seconds": 0},
        {"least_values": ()},
        {"least_values": ((Level.LIMIT, 1), (Level.ALERT, 2))},
        {"least_values": ((Level.ALERT, 2), (Level.LIMIT, 1))},
    ],
)
def test_parameters_that_make_no_sense_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(Refused) as raised:
        parameters(**changes)
    assert raised.value.reason is Reason.OUT_OF_RANGE


@pytest.mark.parametrize(("numerator", "denominator"), [(-1, 1), (1, 0)])
def test_a_value_below_zero_or_over_nothing_is_refused(numerator: int, denominator: int) -> None:
    with pytest.raises(Refused, match="numerator"):
        TokenValue(numerator=numerator, denominator=denominator)


@pytest.mark.parametrize(
    "of",
    [claim(units=2**256), claim(-1), claim(beneficiary=Account("0xABC")), claim(token=Token(Account("")))],
)
def test_events_out_of_range_cannot_be_built(of: Claim) -> None:
    for build in (burn, release):
        with pytest.raises(Refused):
            build(of)


# --- properties

CLAIMS = st.builds(claim, st.integers(1, 2), units=st.integers(1, 2))
TIMES = st.integers(1, 6)


@given(
    burns=st.lists(st.tuples(CLAIMS, TIMES), max_size=12),
    releases=st.lists(st.tuples(CLAIMS, TIMES), max_size=12),
    shuffle=st.randoms(use_true_random=False),
    room=st.integers(1, 12),
)
def test_the_order_within_a_time_changes_no_verdict(
    burns: list[tuple[Claim, int]],
    releases: list[tuple[Claim, int]],
    shuffle: object,
    room: int,
) -> None:
    named = [burn(of, at, f"burn {place}") for place, (of, at) in enumerate(burns)]
    ordered = sorted(named, key=lambda each: each.burnt_at)
    permuted = list(named)
    shuffle.shuffle(permuted)  # type: ignore[attr-defined]
    permuted.sort(key=lambda each: each.burnt_at)
    paid = sorted(
        (release(of, at, f"release {place}") for place, (of, at) in enumerate(releases)),
        key=lambda each: each.released_at,
    )

    assert judged(permuted, paid, outstanding_burns=room) == judged(ordered, paid, outstanding_burns=room)


@given(
    burns=st.lists(st.tuples(CLAIMS, TIMES), max_size=12),
    releases=st.lists(st.tuples(CLAIMS, TIMES), max_size=12),
)
def test_one_burn_never_backs_two_releases_and_none_is_left_that_could_have(
    burns: list[tuple[Claim, int]], releases: list[tuple[Claim, int]]
) -> None:
    named = [burn(of, at, f"burn {place}") for place, (of, at) in enumerate(burns)]
    paid = [release(of, at, f"release {place}") for place, (of, at) in enumerate(releases)]

    verdicts = judged(named, paid)

    used = [each.burn.reference for each in verdicts if each.burn]
    assert len(used) == len(set(used))
    for each in verdicts:
        if each.burn is not None:
            assert each.burn.claim == each.release.claim
            assert each.burn.burnt_at <= each.release.released_at
        else:
            assert not [
                left
                for left in named
                if left.reference not in used
                and left.claim == each.release.claim
                and left.burnt_at <= each.release.released_at
            ]
