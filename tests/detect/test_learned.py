"""Learned state goes through a file and comes back the same, or is refused with the place that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.errors import Reason, Refused
from node.detect import sealed
from node.detect.detector import Detector
from node.detect.evidence import Evidence, Family, Judgement
from node.detect.learned import LEARNED_FORMAT, Learned, parse_learned, read_learned
from node.detect.policy import read_detection_policy
from node.detect.sealed import seal, unseal, write_sealed
from node.detect.watch import Watch, canonical
from node.trace import TransactionTrace
from tests.detect.policies import GENERAL, make_policy
from tests.detect.test_judging import LIVES, life_of, novelty, theft, trained
from tests.detect.traces import deposit

POLICY = read_detection_policy(GENERAL)


def learn(transactions: list[TransactionTrace]) -> Watch:
    watch = Watch(POLICY)
    for transaction in transactions:
        watch.learn(transaction)
    return watch


def learned_of(watch: Watch, transactions: int = 1) -> Learned:
    return Learned(
        history="Vault",
        transactions=transactions,
        rows=bytes(32),
        last_position=watch.last_position,
        state=watch.state(),
    )


def judge(watch: Watch, transactions: list[TransactionTrace]) -> list[Judgement]:
    return [watch.judge(transaction) for transaction in transactions]


@given(life=LIVES)
@settings(max_examples=60, deadline=None)
def test_what_was_learned_judges_alike_with_and_without_a_file_between(life: list[tuple[str, int]]) -> None:
    transactions = life_of(life)
    half = max(1, len(transactions) // 2)
    direct = learn(transactions[:half])

    content = learned_of(direct).to_bytes()
    read_back = parse_learned(content).make_watch(POLICY)

    assert read_back.state_hash() == direct.state_hash()
    assert judge(read_back, transactions[half:]) == judge(direct, transactions[half:])
    assert read_back.state_hash() == direct.state_hash()


@given(life=LIVES, cut=st.data())
@settings(max_examples=60, deadline=None)
def test_a_watch_that_is_cut_off_while_it_judges_goes_on_as_if_it_were_not(
    life: list[tuple[str, int]], cut: st.DataObject
) -> None:
    transactions = life_of(life)
    half = len(transactions) // 2
    stop = cut.draw(st.integers(half, len(transactions)))
    whole = learn(transactions[:half])
    before = judge(whole, transactions[half:stop])

    resumed = Watch(POLICY)
    state = json.loads(canonical(whole.state()))
    resumed.restore(state, {each.position: each for each in transactions[:stop]})

    assert len(before) == stop - half
    assert judge(resumed, transactions[stop:]) == judge(whole, transactions[stop:])
    assert resumed.state_hash() == whole.state_hash()


def test_what_was_learned_from_is_not_scored_after_a_file_either() -> None:
    watch = learned_of(trained(40)).make_watch(make_policy())

    with pytest.raises(Refused, match="a span that was learned from is not scored") as caught:
        watch.judge(deposit(block=40))

    assert caught.value.reason is Reason.OUT_OF_ORDER


def test_equal_states_have_equal_files() -> None:
    assert learned_of(trained(40)).to_bytes() == learned_of(trained(40)).to_bytes()
    assert learned_of(trained(40)).hash() != learned_of(trained(41)).hash()


def test_another_policys_state_is_refused_by_name() -> None:
    learned = learned_of(trained(10))

    with pytest.raises(Refused, match=f"0x{make_policy().hash.hex()}") as caught:
        learned.make_watch(POLICY)

    assert caught.value.reason is Reason.STATE_FOREIGN


def test_a_state_that_has_judged_is_no_learned_state() -> None:
    watch = trained(40)
    watch.judge(theft(100))

    with pytest.raises(Refused, match="has judged already"):
        learned_of(watch).make_watch(make_policy())


def test_a_file_that_says_another_end_than_its_state_is_refused() -> None:
    watch = trained(40)
    body = unseal(learned_of(watch).to_bytes(), LEARNED_FORMAT) | {"last_position": [39, 0]}

    with pytest.raises(Refused, match="ends elsewhere"):
        parse_learned(seal(body, LEARNED_FORMAT)).make_watch(make_policy())


# ---------------------------------------------------------------------- the file


def whole_file() -> bytes:
    return learned_of(trained(40)).to_bytes()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda content: content[:-1], "expected tocsin.learned.v2"),
        (lambda content: content + b"\n", "canonical"),
        (lambda content: content.replace(b'"Vault"', b'"Value"'), "does not come to the hash"),
        (lambda content: json.dumps(json.loads(content), indent=1).encode(), "canonical"),
        (lambda content: b"[" * 100_000, "expected tocsin.learned.v2"),
        (lambda content: b'{"x":' * 100_000, "expected tocsin.learned.v2"),
        (lambda content: b'{"body":' + b'{"x":' * 100_000, "expected tocsin.learned.v2"),
        (lambda content: b'{"body":{"x":' + b"[" * 100_000, "expected tocsin.learned.v2"),
        (lambda content: b'{"body": {}, "format": "x"}', "missing required field `hash`"),
        (lambda content: b"\xff\xfe", "expected tocsin.learned.v2"),
        (
            lambda content: b'{"body": {"n": NaN}, "format": "tocsin.learned.v2", "hash": "0x%064x"}' % 0,
            "JSON",
        ),
        (lambda content: b"1" * 5_000, "expected tocsin.learned.v2"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_with_its_path(
    tmp_path: Path, spoil: Callable[[bytes], bytes], said: str
) -> None:
    path = tmp_path / "learned.json"
    path.write_bytes(spoil(whole_file()))

    with pytest.raises(Refused, match=said) as caught:
        read_learned(path)

    assert caught.value.reason is Reason.STATE_CORRUPT
    assert str(path) in caught.value.message


def test_another_versions_file_is_refused_by_name() -> None:
    body = unseal(whole_file(), LEARNED_FORMAT)

    with pytest.raises(
        Refused, match=r"expected the format tocsin\.learned\.v2, came 'tocsin\.learned\.v9'"
    ) as caught:
        parse_learned(seal(body, "tocsin.learned.v9"))

    assert caught.value.reason is Reason.STATE_FOREIGN


def test_no_more_is_read_than_such_a_file_may_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "MAX_SEALED_BYTES", 100)
    path = tmp_path / "learned.json"
    path.write_bytes(whole_file())

    with pytest.raises(Refused, match="more than 100 bytes"):
        read_learned(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        read_learned(tmp_path / "none.json")


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be written"):
        write_sealed(tmp_path / "no folder" / "learned.json", b"")


@pytest.mark.parametrize(
    "change",
    [{"transactions": 0}, {"rows": "0x12"}, {"last_position": [1]}, {"more": 1}, {"state": []}],
)
def test_a_body_of_another_shape_is_refused(change: dict[str, Any]) -> None:
    body = unseal(whole_file(), LEARNED_FORMAT) | change

    with pytest.raises(Refused, match="expected learned state") as caught:
        parse_learned(seal(body, LEARNED_FORMAT))

    assert caught.value.reason is Reason.STATE_CORRUPT


# ---------------------------------------------------------------------- the state


def general_state() -> dict[str, Any]:
    life = [("deposit", 900), ("withdraw", 10), ("borrow", 70), ("nested", 1), ("loop", 11)] * 8
    state: dict[str, Any] = json.loads(canonical(learn(life_of(life)).state()))
    return state


def restore(state: object) -> None:
    Watch(POLICY).restore(state, {})


def test_a_state_that_is_left_as_it_was_is_taken() -> None:
    restore(general_state())


@pytest.mark.parametrize(
    "detector",
    [
        *(
            "novel_flow",
            "contract_caller",
            "repetition_burst",
            "reentrancy",
            "balance_drain",
            "volume_record",
        ),
        *(
            "round_trip",
            "flash_loan",
            "mint_anomaly",
            "storage_record",
            "privileged_change",
            "wrapped_number",
        ),
    ],
)
@pytest.mark.parametrize("wrong", [None, "text", 1.5, -1, [1, "x"], {"x": 1}, {"watched": [7]}])
def test_every_detector_refuses_a_state_of_another_shape_by_its_name(detector: str, wrong: object) -> None:
    state = general_state()
    state["detectors"][detector] = wrong

    with pytest.raises(Refused, match=rf"detectors\.{detector}") as caught:
        restore(state)

    assert caught.value.reason is Reason.STATE_CORRUPT


def changed(part: str, value: Any) -> dict[str, Any]:
    return general_state() | {part: value}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (changed("more", float("nan")), "not JSON compliant"),
        (changed("calibrations", {}), r"calibrations\.novel_flow"),
        (changed("calibrations", general_state()["calibrations"] | {"novel_flow": []}), "pairs of a place"),
        (
            changed("calibrations", general_state()["calibrations"] | {"novel_flow": [5, 3]}),
            "pairs of a place",
        ),
        (
            changed("calibrations", general_state()["calibrations"] | {"novel_flow": [5, 3, 1, 3, 1]}),
            "expected a place above 3",
        ),
        (
            changed("calibrations", general_state()["calibrations"] | {"novel_flow": [5, 6, 1]}),
            "at most 5, came 6",
        ),
        (
            changed("calibrations", general_state()["calibrations"] | {"novel_flow": [5, 1, 0]}),
            "scores above zero",
        ),
        (changed("past", [9, [3, "novel_flow", 1], [3, "novel_flow", 1]]), "expected a place above 3"),
        (changed("past", [9, [3, "no_such", 1]]), "expected a detector of the policy"),
        (changed("past", [9, [3, "novel_flow", 0]]), "a score above zero"),
        (changed("past", [9, [3, "novel_flow"]]), "past"),
        (changed("past", ["x"]), "past"),
        (changed("last_position", [1]), "last_position"),
        (changed("is_judging", 1), "is_judging"),
        (changed("waiting", [["0x"]]), "waiting"),
        ([], "Expected `object`"),
    ],
)
def test_a_state_that_no_watch_gives_is_refused_with_its_place(state: object, said: str) -> None:
    with pytest.raises(Refused, match=said) as caught:
        restore(state)

    assert caught.value.reason is Reason.STATE_CORRUPT


@pytest.mark.parametrize("twist", ["unsorted", "twice", "nothing held", "unknown detector"])
def test_a_state_in_another_form_than_it_is_written_in_is_refused(twist: str) -> None:
    state = general_state()
    if twist == "unsorted":
        state["detectors"]["novel_flow"].reverse()
    elif twist == "twice":
        state["detectors"]["novel_flow"] *= 2
    elif twist == "nothing held":
        state["detectors"]["balance_drain"]["balances"]["0xaa 0xbb"] = [0, 0]
    else:
        state["detectors"]["more"] = 1

    with pytest.raises(Refused, match="says something that a watch never says"):
        restore(state)


def test_a_state_that_waits_for_transactions_of_another_history_is_refused() -> None:
    policy = make_policy(("settle_blocks: 0", "settle_blocks: 50"))
    watch = trained(40, Watch(policy))
    watch.judge(novelty(100))
    state = json.loads(canonical(watch.state()))

    for transactions in ({}, {(100, 0): deposit(block=100, units=5)}):
        transactions = {place: make_other(each) for place, each in transactions.items()}
        with pytest.raises(Refused, match="waits to be learned") as caught:
            Watch(policy).restore(state, transactions)
        assert caught.value.reason is Reason.STATE_FOREIGN


def make_other(transaction: TransactionTrace) -> TransactionTrace:
    return TransactionTrace(
        hash="0x" + "99" * 32,
        block_number=transaction.block_number,
        index=transaction.index,
        frames=transaction.frames,
        transfers=transaction.transfers,
    )


class Forgetful(Detector):
    """A plugin that does not say how to restore."""

    name = "forgetful"
    family = Family.FLOW

    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        return None

    def state(self) -> int:
        return 0


def test_a_detector_that_cannot_take_its_state_back_says_so() -> None:
    with pytest.raises(Refused, match="'forgetful' cannot take learned state back") as caught:
        Forgetful().restore(0)

    assert caught.value.reason is Reason.STATE_FOREIGN


def test_whatever_a_plugin_raises_over_a_strange_state_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def restore_badly(self: Detector, state: object) -> None:
        raise KeyError("deepest")

    policy = make_policy()
    state = Watch(policy).state()
    monkeypatch.setattr("node.detect.novel_flow.NovelFlow.restore", restore_badly)

    with pytest.raises(Refused, match=r"detectors\.novel_flow: cannot be read: KeyError"):
        Watch(policy).restore(state, {})


# ---------------------------------------------------------------------- anything at all


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**300), 2**300) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def spoil(draw: st.DataObject, value: Any) -> Any:
    """The value with one part of it replaced by anything."""
    if isinstance(value, dict) and value and draw.draw(st.booleans(), "deeper"):
        key = draw.draw(st.sampled_from(sorted(value)), "key")
        return value | {key: spoil(draw, value[key])}
    if isinstance(value, list) and value and draw.draw(st.booleans(), "deeper"):
        place = draw.draw(st.integers(0, len(value) - 1), "place")
        return [*value[:place], spoil(draw, value[place]), *value[place + 1 :]]
    return draw.draw(JSON, "instead")


SOUND_STATE = general_state()


@given(draw=st.data())
@settings(max_examples=120, deadline=None)
def test_whatever_a_state_says_it_is_taken_whole_or_refused(draw: st.DataObject) -> None:
    state = spoil(draw, SOUND_STATE)
    watch = Watch(POLICY)

    with suppress(Refused):
        watch.restore(state, {})
        assert canonical(watch.state()) == canonical(state)


@given(content=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=300, deadline=None)
def test_whatever_a_file_holds_it_is_refused_and_nothing_else(content: bytes) -> None:
    with pytest.raises(Refused):
        parse_learned(content)
