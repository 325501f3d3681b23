"""The responder against a guardian that follows a script; what a real one does is test_guardian's."""

from __future__ import annotations

import pytest
import trio
import trio.testing

import node.respond.responder
from consensus.alert import Level, compute_action_id
from consensus.errors import Reason, Refused, Unavailable
from consensus.types import BlockNumber, ChainId
from node.respond.responder import MAX_SUBMISSIONS
from node.respond.types import Simulation
from tests.consensus.factories import EXPIRES_AT, NOW, OBSERVED_AT, make_action, make_alert, make_bytes32
from tests.respond.stage import (
    CONFIRMATIONS,
    FIRST_BLOCK,
    RESTRICTED_UNTIL,
    GuardianDouble,
    five_signers,
    make_certificate,
    responding,
)

THREE, FOUR, FIVE = (0, 1, 2), (0, 1, 2, 3), (0, 1, 2, 3, 4)


async def test_the_first_in_order_sends_at_once_and_reports_what_it_read_back() -> None:
    guardian = GuardianDouble()
    async with responding(guardian) as stage:
        await stage.give(make_certificate(*FIVE))

        (effect,) = stage.told()
        assert guardian.asked["submit"] == 1
        assert effect.digest == make_alert().digest()
        assert effect.action_id == compute_action_id("pause")
        assert effect.level is Level.PAUSE
        assert effect.transaction == make_bytes32("transaction")
        assert effect.block_number == FIRST_BLOCK + 1
        assert effect.restricted_until == RESTRICTED_UNTIL


async def test_nothing_is_sent_before_the_certificate_passes_what_the_owner_asks() -> None:
    guardian = GuardianDouble()
    async with responding(guardian) as stage:
        await stage.give(make_certificate(*FOUR))  # 4 of 7 < 2/3
        await stage.block(FIRST_BLOCK + 1)
        assert not guardian.asked["simulate"]

        await stage.give(make_certificate(*FIVE))

        assert guardian.submitted == [5_000]


async def test_exactly_the_threshold_is_not_enough() -> None:
    guardian = GuardianDouble()
    guardian.threshold_bps = 10_000
    async with responding(guardian) as stage:
        await stage.give(make_certificate(*range(7)))

        assert not guardian.asked["submit"]


async def test_a_growing_certificate_lands_the_limit_before_the_pause() -> None:
    limit, pause = make_action(action_id=compute_action_id("limit")), make_action()
    alert = make_alert(actions=(limit, pause))
    guardians = {limit.action_id: GuardianDouble(), pause.action_id: GuardianDouble()}
    guardians[limit.action_id].threshold_bps = 3_334

    class Both(GuardianDouble):
        async def terms(self, action_id):  # type: ignore[no-untyped-def]
            return await guardians[action_id].terms(action_id)

        async def standing(self, action_id):  # type: ignore[no-untyped-def]
            return await guardians[action_id].standing(action_id)

        async def simulate(self, certificate, action):  # type: ignore[no-untyped-def]
            return await guardians[action.action_id].simulate(certificate, action)

        async def submit(self, certificate, action):  # type: ignore[no-untyped-def]
            return await guardians[action.action_id].submit(certificate, action)

    async with responding(Both(), alert=alert) as stage:
        await stage.give(make_certificate(*THREE, alert=alert))
        assert [effect.action_id for effect in stage.told()] == [limit.action_id]
        assert guardians[pause.action_id].submitted == []

        await stage.give(make_certificate(*FIVE, alert=alert))

        assert [effect.action_id for effect in stage.told()] == [pause.action_id]
        assert guardians[limit.action_id].submitted == [3_000], "one transaction an action"
        assert guardians[pause.action_id].submitted == [5_000]


async def test_a_smaller_certificate_never_takes_the_place_of_a_better_one() -> None:
    guardian = GuardianDouble()
    async with responding(guardian, rank=1) as stage:
        await stage.give(make_certificate(*range(6)))
        await stage.give(make_certificate(*FIVE))
        await stage.block(FIRST_BLOCK + 2)

        assert guardian.submitted == [6_000]


async def test_the_next_in_order_steps_in_a_block_after_one_ahead_that_has_not_signed() -> None:
    guardian = GuardianDouble()
    async with responding(guardian, rank=1) as stage:
        await stage.give(make_certificate(*five_signers(with_rank_0=False)))
        assert not guardian.asked["simulate"], "before its turn it does not even try"

        await stage.block(FIRST_BLOCK + 1)

        assert guardian.asked["submit"] == 1


async def test_the_next_in_order_leaves_one_ahead_that_signed_a_whole_block_before_it_steps_in() -> None:
    guardian = GuardianDouble()
    async with responding(guardian, rank=1) as stage:
        await stage.give(make_certificate(*five_signers(with_rank_0=True)))
        await stage.block(FIRST_BLOCK + 1)
        assert not guardian.asked["simulate"], "before its turn it does not even try"

        await stage.block(FIRST_BLOCK + 2)

        assert guardian.asked["submit"] == 1
        assert len(stage.told()) == 1


async def test_what_another_landed_is_reported_as_its_effect_without_a_transaction_of_ours() -> None:
    guardian = GuardianDouble()
    async with responding(guardian, rank=1) as stage:
        await stage.give(make_certificate(*FIVE))
        guardian.restrict()
        await stage.block(FIRST_BLOCK + 1)

        (effect,) = stage.told()
        assert effect.transaction is None
        assert effect.block_number == FIRST_BLOCK + 1
        await stage.block(FIRST_BLOCK + 2)
        assert not guardian.asked["simulate"]


async def test_nothing_is_sent_when_the_dry_run_says_that_it_is_active_already() -> None:
    guardian = GuardianDouble()
    guardian.simulation = Simulation.ALREADY_ACTIVE
    async with responding(guardian) as stage:
        await stage.give(make_certificate(*FIVE))
        assert not guardian.asked["submit"]

        guardian.restrict()
        await stage.block(FIRST_BLOCK + 1)

        assert len(stage.told()) == 1
        assert not guardian.asked["submit"]


async def test_a_book_that_says_restricted_while_the_target_is_not_is_no_effect() -> None:
    guardian = GuardianDouble()
    guardian.restricted_until = RESTRICTED_UNTIL
    guardian.simulation = Simulation.ALREADY_ACTIVE
    async with responding(guardian) as stage:
        await stage.give(make_certificate(*FIVE))
        await stage.block(FIRST_BLOCK + 1)
        assert stage.told() == []

        guardian.is_engaged = True
        await stage.block(FIRST_BLOCK + 2)

        assert len(stage.told()) == 1


async def test_a_target_that_is_engaged_without_the_book_is_somebody_elses_doing() -> None:
    guardian = GuardianDouble()
    guardian.is_engaged, guardian.acts = True, False
    async with responding(guardian) as stage:
        await stage.give(make_certificate(*FIVE))
        await stage.block(FIRST_BLOCK + 1)

        assert stage.told() == []


async def test_a_restriction_whose_time_is_over_is_none() -> None:
    guardian = GuardianDouble()
    guardian.restricted_until, guardian.is_engaged = NOW, True
    guardian.simulation = Simulation.ALREADY_ACTIVE
    async with responding(guardian) as stage:
        await stage.give(make_certificate(*FIVE))

        assert stage.told() == []


async def test_a_mined_transaction_that_changed_nothing_is_no_effect() -> None:
    guardian = GuardianDouble()
    guardian.acts = False
    async with responding(guardian) as stage:
        await stage.give(make_certificate(*FIVE))
        for number in range(1, 9):
            await stage.block(FIRST_BLOCK + number)

        assert stage.told() == []
        assert guardian.asked["submit"] == MAX_SUBMISSIONS


async def test_a_reverted_transaction_is_sent_again_a_bounded_number_of_times_then_only_watched() -> None:
    guardian = GuardianDouble()
    guardian.succeeds = False
    async with responding(guardian) as stage:
        await stage.give(make_certificate(*FIVE))
        for number in range(1, MAX_SUBMISSIONS + 4):
            await stage.block(FIRST_BLOCK + number)
        assert guardian.asked["submit"] == MAX_SUBMISSIONS
        assert stage.told() == []

        guardian.restrict()  # somebody else was luckier
        await stage.block(FIRST_BLOCK + MAX_SUBMISSIONS + 4)

        (effect,) = stage.told()
        assert effect.transaction is None, "what reverted is not what did it"


@pytest.mark.parametrize("asked", ["terms", "standing", "simulate", "submit"])
@pytest.mark.parametrize(
    "trouble",
    [Unavailable("no endpoint answers"), Refused(Reason.FEE_CAP_REACHED, "the fee is above the cap")],
    ids=["unavailable", "refused"],
)
async def test_trouble_is_waited_out_block_by_block(asked: str, trouble: Exception) -> None:
    guardian = GuardianDouble()
    guardian.trouble[asked] = trouble
    async with responding(guardian) as stage:
        await stage.give(make_certificate(*FIVE))
        await stage.block(FIRST_BLOCK + 1)
        assert stage.told() == []
        assert guardian.asked[asked] == 2, "once a block"

        guardian.trouble.clear()
        await stage.block(FIRST_BLOCK + 2)

        assert len(stage.told()) == 1
        assert stage.responder.statistics().refused == (2 if isinstance(trouble, Refused) else 0)


async def test_an_alert_that_expired_on_that_chain_is_given_up_and_forgotten() -> None:
    guardian = GuardianDouble()
    guardian.simulation = Refused(Reason.CALL_REVERTED, "not now")
    async with responding(guardian) as stage:
        await stage.give(make_certificate(*FIVE))
        await stage.block(FIRST_BLOCK + 1, EXPIRES_AT)  # its last second
        assert guardian.asked["simulate"] == 2
        assert stage.responder.statistics().open_incidents == 1

        guardian.simulation = Simulation.WOULD_ACT
        await stage.block(FIRST_BLOCK + 2, EXPIRES_AT + 1)

        assert not guardian.asked["submit"]
        assert stage.responder.statistics().open_incidents == 0


async def test_an_action_on_a_chain_that_is_not_ours_is_left_to_others() -> None:
    alert = make_alert(actions=(make_action(chain_id=ChainId(777)), make_action()))
    guardian = GuardianDouble()
    async with responding(guardian, alert=alert) as stage:
        await stage.give(make_certificate(*FIVE, alert=alert))

        assert len(stage.told()) == 1
        await stage.block(FIRST_BLOCK + 1 + CONFIRMATIONS)
        assert stage.responder.statistics().open_incidents == 0


async def test_signatures_that_come_after_the_effect_start_nothing_again() -> None:
    guardian = GuardianDouble()
    async with responding(guardian) as stage:
        await stage.give(make_certificate(*FIVE))
        assert len(stage.told()) == 1
        await stage.block(FIRST_BLOCK + 1 + CONFIRMATIONS)
        guardian.release()

        await stage.give(make_certificate(*range(6)))
        await stage.block(FIRST_BLOCK + 2 + CONFIRMATIONS)

        assert guardian.asked["submit"] == 1
        assert stage.told() == []
        assert stage.responder.statistics().effects == 1


async def test_an_effect_is_looked_at_until_it_has_stood_for_the_confirmations() -> None:
    guardian = GuardianDouble()
    async with responding(guardian) as stage:
        await stage.give(make_certificate(*FIVE))  # lands in the next block
        for number in range(1, 1 + CONFIRMATIONS):
            await stage.block(FIRST_BLOCK + number)
        assert stage.responder.statistics().open_incidents == 1
        assert stage.responder.statistics().confirmed == 0

        await stage.block(FIRST_BLOCK + 1 + CONFIRMATIONS)

        assert stage.responder.statistics().open_incidents == 0
        assert stage.responder.statistics().confirmed == 1
        assert len(stage.told()) == 1


async def test_an_effect_that_vanished_is_sent_again_in_a_turn_of_its_own() -> None:
    guardian = GuardianDouble()
    async with responding(guardian, rank=1) as stage:
        await stage.give(make_certificate(*five_signers(with_rank_0=True)))
        guardian.restrict()
        await stage.block(FIRST_BLOCK + 1)
        assert len(stage.told()) == 1

        guardian.release()
        await stage.block(FIRST_BLOCK + 1, branch="b")  # of the same height
        await stage.block(FIRST_BLOCK + 2, branch="b")
        assert guardian.asked["submit"] == 0, "rank 0 goes first again"
        await stage.block(FIRST_BLOCK + 3, branch="b")

        assert guardian.asked["submit"] == 1
        (effect,) = stage.told()
        assert effect.transaction is not None
        assert stage.responder.statistics().vanished == 1


async def test_an_effect_that_vanished_on_the_way_to_a_lower_head_is_noticed_there() -> None:
    guardian = GuardianDouble()
    async with responding(guardian) as stage:
        await stage.give(make_certificate(*FIVE))
        await stage.block(FIRST_BLOCK + 2)
        guardian.release()
        await stage.block(FIRST_BLOCK + 1, branch="b")

        assert guardian.asked["submit"] == 2
        assert len(stage.told()) == 2


async def test_what_the_owner_lifted_is_refused_by_the_guardian_and_given_up_after_the_confirmations() -> (
    None
):
    guardian = GuardianDouble()
    async with responding(guardian) as stage:
        await stage.give(make_certificate(*FIVE))
        await stage.block(FIRST_BLOCK + 1)
        guardian.release()
        guardian.simulation = Refused(Reason.CALL_REVERTED, "AlertTooOld")
        for number in range(2, 2 + CONFIRMATIONS):
            await stage.block(FIRST_BLOCK + number)
        assert stage.responder.statistics().open_incidents == 1

        await stage.block(FIRST_BLOCK + 2 + CONFIRMATIONS)

        assert stage.responder.statistics().open_incidents == 0
        assert guardian.asked["submit"] == 1
        assert len(stage.told()) == 1


async def test_a_refusal_before_any_effect_is_no_end() -> None:
    guardian = GuardianDouble()
    guardian.simulation = Refused(Reason.CALL_REVERTED, "not now")
    async with responding(guardian) as stage:
        await stage.give(make_certificate(*FIVE))
        for number in range(1, 5 + CONFIRMATIONS):
            await stage.block(FIRST_BLOCK + number)

        assert stage.responder.statistics().open_incidents == 1


async def test_open_incidents_are_bounded_and_the_open_ones_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.respond.responder, "MAX_OPEN_INCIDENTS", 2)
    alerts = [make_alert(evidence_hash=make_bytes32(f"evidence {n}")) for n in range(3)]
    guardian = GuardianDouble()
    async with responding(guardian) as stage:
        for alert in alerts:
            await stage.give(make_certificate(*THREE, alert=alert))

        statistics = stage.responder.statistics()
        assert (statistics.open_incidents, statistics.refused) == (2, 1)
        await stage.give(make_certificate(*FIVE, alert=alerts[1]))  # a known one still grows
        for number in range(1, 9 + CONFIRMATIONS):
            await stage.block(FIRST_BLOCK + number)
        assert [effect.digest for effect in stage.told()] == [alerts[1].digest()]
        assert stage.responder.statistics().open_incidents == 1


async def test_closing_the_door_finishes_what_is_open_and_closes_the_effects() -> None:
    guardian = GuardianDouble()
    async with responding(guardian, rank=1) as stage:
        await stage.give(make_certificate(*FIVE))
        await stage.certificates.aclose()
        await stage.block(FIRST_BLOCK + 2)
        await stage.block(FIRST_BLOCK + 2 + CONFIRMATIONS)

        assert len(stage.told()) == 1
        with pytest.raises(trio.EndOfChannel):
            stage.effects.receive_nowait()


def test_the_stage_stands_within_the_alerts_window() -> None:
    assert OBSERVED_AT < NOW < EXPIRES_AT
    assert BlockNumber(FIRST_BLOCK)
