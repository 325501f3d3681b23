"""What each fault costs its sender: strikes, enough of which ban it for a time."""

from collections.abc import Mapping
from types import MappingProxyType

from consensus.errors import Reason

STRIKES: Mapping[Reason, int] = MappingProxyType(
    {
        Reason.OVERSIZED: 25,
        Reason.MALFORMED: 25,
        Reason.CRASHED_HANDLER: 25,
        Reason.STALLED_FRAME: 10,
        Reason.FORGED_AUTHOR: 10,
        Reason.FORGED_ANNOUNCEMENT: 25,
        Reason.RELAY_SPOKE: 10,
        Reason.WRONG_TOPIC: 10,
        Reason.BAD_SIGNATURE: 34,
        Reason.NOT_ITS_OWN: 10,
        Reason.UNKNOWN_KIND: 10,
        Reason.UNASKED: 5,
        Reason.USELESS_WANT: 2,
        Reason.QUESTIONS_OVER_BUDGET: 1,
        Reason.NOT_A_MEMBER: 10,
        Reason.UNASKED_EVIDENCE: 10,
        Reason.WRONG_NETWORK: 10,
        Reason.TOO_MANY_STREAMS: 5,
        Reason.LINK_OVER_BUDGET: 1,
        Reason.AUTHOR_OVER_BUDGET: 1,
        Reason.VERIFICATION_OVER_BUDGET: 1,
        Reason.EQUIVOCATION: 100,
    }
)
"""Points of 100 (budgets.Limits.strikes_to_ban). What is absent may befall an honest peer and costs nothing.

An operator that is proven to have signed two alerts for one slot is banned at once (`GossipRoom.accuse`): its
own signatures prove it. Next comes a bad BLS signature: it costs a pairing to find, and no honest operator
sends one; three in a row ban. Garbage bans at the fourth time, as a frame that is cut in half can follow from
a crash.
"""
