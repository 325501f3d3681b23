"""Every key of a rule policy, with its bounds and what it means. `policy.py` reads by these tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from consensus.alert import MAX_PARAMS_BYTES, MAX_TTL_SECONDS, Level
from consensus.errors import Refused
from consensus.fields import require_address
from node.evaluate.document import Node
from node.evaluate.events import EVENT, MAX_FIELDS, Take
from node.evaluate.expressions import MAX_BLOCKS_AGO, WHOLE_BPS
from node.evaluate.includes import INCLUDE
from node.evaluate.prices import Venue
from node.evaluate.shapes import Choice, Items, Json, Key, Named, Table, Text, Whole, document_schema
from node.evaluate.signals import CALL, MAX_ARGUMENTS, MAX_RETURNS
from node.evaluate.traps import MAX_SAMPLES, MAX_TRAP_BYTES, Asks

POLICY_FORMAT: Final = 1
MAX_CONTRACTS: Final = 256
MAX_SIGNALS: Final = 256
MAX_ACTIONS_DECLARED: Final = 256
MAX_RULES: Final = 1_024
# The cooldown is decided from the chain, by looking back over it; this bounds what a watcher that has just
# started may have to read.
MAX_COOLDOWN_BLOCKS: Final = 1_024
MAX_WINDOW_SECONDS: Final = 86_400
MAX_AGE_SECONDS: Final = 30 * 86_400
MAX_DECIMALS: Final = 36
MAX_DETECTED_CONTRACTS: Final = 64
MAX_TO_LEARN: Final = 10_000_000
DEFAULT_TO_LEARN: Final = 1_000
MAX_LOOKBACK_SECONDS: Final = 183 * 86_400
MAX_PENDING_CONTRACTS: Final = 16
MAX_PENDING_TOKENS: Final = 16
MAX_UNITS: Final = 2**256 - 1
MAX_BLOCK_SECONDS: Final = 3_600
_CHAIN_ID: Final = Whole(1, 2**64 - 1)

NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,47}", re.ASCII)
IDENTIFIER: Final = re.compile(r"[a-z][a-z0-9_]{0,47}", re.ASCII)
NAME_RULE: Final = "a name starts with a-z and has at most 48 characters out of a-z, 0-9, _ and -"
_ACTION_NAME: Final = re.compile(r"[!-~]{1,64}", re.ASCII)
_PARAMS: Final = re.compile(rf"0x([0-9a-fA-F]{{2}}){{0,{MAX_PARAMS_BYTES}}}", re.ASCII)
_CODE: Final = re.compile(rf"0x([0-9a-fA-F]{{2}}){{1,{MAX_TRAP_BYTES}}}", re.ASCII)
_SLOT: Final = re.compile(r"0x[0-9a-fA-F]{1,64}|0|[1-9][0-9]{0,77}", re.ASCII)


@dataclass(frozen=True, slots=True)
class AddressText:
    """An address in EIP-55 form."""

    def read(self, node: Node) -> str:
        text = node.text()
        try:
            require_address("address", text)
        except Refused as error:
            raise node.refusal(error.message) from None
        return text

    def schema(self) -> dict[str, Json]:
        return Text(re.compile("0x[0-9a-fA-F]{40}")).schema()


_REFERENCE: Final = Text()

CONTRACT: Final = Table(
    {
        "chain_id": Key(_CHAIN_ID, "The chain that the contract is on."),
        "address": Key(AddressText(), "Its address in EIP-55 form, in quotes."),
    }
)
CONTRACTS: Final = Named((CONTRACT,), MAX_CONTRACTS, IDENTIFIER)

_RETURNS: Final = Whole(0, MAX_RETURNS - 1)
_POOL_SCALE: Final = {
    "venue": Key(Choice(tuple(each.value for each in Venue)), "Whose interface the pool has."),
    "of": Key(Choice(("token0", "token1")), "Which of the pool's tokens is priced, in units of the other."),
    "token_decimals": Key(Items(Whole(0, MAX_DECIMALS), 2), "Decimals of token0 and token1, as `[18, 6]`."),
    "decimals": Key(Whole(0, MAX_DECIMALS), "Decimals of the price: 8 makes 1.0 into 100_000_000."),
}
SIGNAL_KINDS: Final = {
    "call": Table(
        {
            "call": Key(
                Text(
                    CALL,
                    "expected contract.function(types)(return types); write for example "
                    "`token.balanceOf(address)(uint256)`",
                ),
                "What to call: contract.function(argument types)(return types), types of one word.",
            ),
            "args": Key(
                Items(Text(), MAX_ARGUMENTS),
                "The arguments in the order of the types; an address may be a contract's name.",
                required=False,
            ),
            "returns": Key(_RETURNS, "Which of several return values, counted from 0.", required=False),
        },
        "What a contract returns.",
    ),
    "storage": Table(
        {
            "storage": Key(_REFERENCE, "The contract whose storage is read."),
            "slot": Key(
                Text(_SLOT, "expected a slot's number, decimal or 0x and up to 64 hex digits"),
                "The number of the slot.",
            ),
            "lowest_bit": Key(
                Whole(0, 255), "The lowest bit that is read; 0 where left out.", required=False
            ),
            "bits": Key(
                Whole(1, 256), "How many bits are read; the rest of the word where left out.", required=False
            ),
        },
        "Bits of one storage slot, as an unsigned integer.",
    ),
    "balance": Table(
        {
            "balance": Key(_REFERENCE, "The contract that holds it."),
            "token": Key(_REFERENCE, "The ERC-20 contract; native coin where left out.", required=False),
        },
        "A balance of native coin, or of a token.",
    ),
    "events": Table(
        {
            "events": Key(_REFERENCE, "The contract that emits them."),
            "event": Key(
                Text(
                    EVENT,
                    "expected Name(type name, …); write for example "
                    "`Transfer(address indexed from, address indexed to, uint256 value)`",
                ),
                "The event with types in full, `indexed` where it is, and names.",
            ),
            "take": Key(
                Choice(tuple(each.value for each in Take)),
                "The sum or the largest of `field`, or how many there are; 0 in a block without one.",
            ),
            "field": Key(_REFERENCE, "Which field is taken; not for count.", required=False),
            "where": Key(
                Named((Text(),), MAX_FIELDS, re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)),
                "Only events whose fields have these values; an address may be a contract's name.",
                required=False,
            ),
        },
        "What one kind of event of this block comes to.",
    ),
    "feed": Table(
        {
            "feed": Key(_REFERENCE, "A feed with Chainlink's latestRoundData()."),
            "feed_decimals": Key(Whole(0, MAX_DECIMALS), "Decimals of the feed's answer."),
            "decimals": Key(Whole(0, MAX_DECIMALS), "Decimals of the price: 8 makes 1.0 into 100_000_000."),
            "max_age_seconds": Key(
                Whole(1, MAX_AGE_SECONDS),
                "An answer that is older at the block is no price: the rule is unknown.",
            ),
        },
        "A price out of a feed.",
    ),
    "spot": Table(
        {"spot": Key(_REFERENCE, "The pool."), **_POOL_SCALE}, "A pool's price at the end of this block."
    ),
    "twap": Table(
        {
            "twap": Key(_REFERENCE, "The pool."),
            **_POOL_SCALE,
            "window_blocks": Key(
                Whole(1, MAX_BLOCKS_AGO), "How far back the mean reaches, for uniswap-v2.", required=False
            ),
            "window_seconds": Key(
                Whole(1, MAX_WINDOW_SECONDS), "How far back it reaches, for uniswap-v3.", required=False
            ),
        },
        "A pool's time-weighted price.",
    ),
    "trap": Table(
        {
            "trap": Key(
                Text(
                    _CODE,
                    f"expected 0x and the hex digits of at most {MAX_TRAP_BYTES} bytes of creation code",
                ),
                "The creation code of a trap for the Drosera network, ABI 2.x, which needs no arguments.",
            ),
            "samples": Key(
                Whole(1, MAX_SAMPLES), "How many blocks' samples it is asked with, this block's among them."
            ),
            "asks": Key(
                Choice(tuple(each.value for each in Asks)), "Which of its questions; 1 for yes, 0 for no."
            ),
        },
        "What a trap in Solidity says.",
    ),
    "bridge": Table(
        {
            "bridge": Key(Text(), "A bridge policy's file, relative to this one, in its folder or below it."),
            "take": Key(
                Choice(("count", "value")),
                "How many of this block's releases no burn backs, or what they are worth in its unit.",
            ),
            "lookback_seconds": Key(
                Whole(1, MAX_LOOKBACK_SECONDS),
                "How far back burns and releases are looked at; an older burn backs nothing.",
            ),
        },
        "Releases of a bridge on this chain that no burn on the other chain backs.",
    ),
    "detection": Table(
        {
            "detection": Key(
                Text(), "A detection policy's file, relative to this one, in its folder or below it."
            ),
            "contracts": Key(
                Items(_REFERENCE, MAX_DETECTED_CONTRACTS), "The contracts whose transactions are judged."
            ),
            "learned": Key(
                Text(),
                "What `tocsin learn` wrote, in a file found as `detection` is. Left out, each watcher learns "
                "by itself, and rules may lead to an alert and no more.",
                required=False,
            ),
            "learn": Key(
                Whole(1, MAX_TO_LEARN),
                "Without `learned`: how many transactions are learned before any is judged; "
                f"{DEFAULT_TO_LEARN:_} where left out.",
                required=False,
            ),
        },
        "What trace detectors say of this block: 0 nothing, 1 alert, 2 limit, 3 freeze, 4 pause.",
    ),
    "series": Table(
        {
            "series": Key(
                Text(),
                "A series policy's file, relative to this one, in its folder or below it. Its series are "
                "signals of this policy, by their names.",
            ),
            "rule": Key(
                Text(NAME, NAME_RULE), "One rule of it; left out, the highest level of all.", required=False
            ),
            "learned": Key(
                Text(),
                "What `tocsin series learn` wrote, in a file found as `series` is. Left out, each watcher "
                "learns by itself, and rules may lead to an alert and no more.",
                required=False,
            ),
            "learn": Key(
                Whole(1, MAX_TO_LEARN),
                "Without `learned`: how many blocks are learned before any is judged; "
                f"{DEFAULT_TO_LEARN:_} where left out.",
                required=False,
            ),
        },
        "What signals over time newly say at this block: 0 nothing, 1 alert, 2 limit, 3 freeze, 4 pause.",
    ),
    "new_contracts": Table(
        {
            "new_contracts": Key(
                Items(_REFERENCE, MAX_DETECTED_CONTRACTS),
                "The contracts that a new one may be made to attack; rules may lead to an alert and no more.",
            ),
        },
        "The highest score of any contract that this block created, 0 to 11; from 6 on borrowed money and "
        "a victim.",
    ),
}
"""By the key that tells the kind."""
SIGNALS: Final = Named(tuple(SIGNAL_KINDS.values()), MAX_SIGNALS, IDENTIFIER)

ACTION: Final = Table(
    {
        "guardian": Key(_REFERENCE, "The guardian, by its name under `contracts:`."),
        "action": Key(
            Text(
                _ACTION_NAME,
                "expected the action's name in the guardian, 1 to 64 ASCII characters, no blanks",
            ),
            "The name under which the owner set the action in the guardian.",
        ),
        "level": Key(
            Choice(tuple(each.name.lower() for each in Level)),
            "The level that the owner set for it: how much stake it needs.",
        ),
        "params": Key(
            Text(_PARAMS, f"expected 0x and an even number of hex digits, at most {MAX_PARAMS_BYTES} bytes"),
            "Bytes for the adapter.",
            required=False,
        ),
    }
)
ACTIONS: Final = Named((ACTION,), MAX_ACTIONS_DECLARED, NAME)

_COMMON: Final = {
    "cooldown_blocks": Key(
        Whole(0, MAX_COOLDOWN_BLOCKS), "At most one alert in each window of so many blocks; 0 for every edge."
    ),
    "actions": Key(
        Items(_REFERENCE, MAX_ACTIONS_DECLARED),
        "What to ask for, by names under `actions:`; `[]` only rings.",
    ),
}
RULE_KINDS: Final = {
    "expression": Table(
        {
            "kind": Key(Choice(("expression",)), "True while `when` holds."),
            "when": Key(_REFERENCE, "A condition over signals, in whole numbers."),
            **_COMMON,
        }
    ),
    "drain": Table(
        {
            "kind": Key(Choice(("drain",)), "True while so much of a signal has left within the window."),
            "signal": Key(_REFERENCE, "What drains, by its name under `signals:`."),
            "window_blocks": Key(Whole(1, MAX_BLOCKS_AGO), "How many blocks back to compare with."),
            "threshold_bps": Key(Whole(1, WHOLE_BPS), "Which part has left, in basis points."),
            **_COMMON,
        }
    ),
    "pending": Table(
        {
            "kind": Key(
                Choice(("pending",)),
                "True of a pending transaction that would take so much of what a contract holds.",
            ),
            "contracts": Key(
                Items(_REFERENCE, MAX_PENDING_CONTRACTS), "Whose holdings count, by names under `contracts:`."
            ),
            "tokens": Key(
                Named((Whole(1, MAX_UNITS),), MAX_PENDING_TOKENS, IDENTIFIER),
                "Which tokens count, by names under `contracts:`, each from how many units held.",
                required=False,
            ),
            "coin": Key(
                Whole(1, MAX_UNITS),
                "From how many wei native coin counts; left out: it does not.",
                required=False,
            ),
            "threshold_bps": Key(Whole(1, WHOLE_BPS), "Which part would leave, in basis points."),
            "block_seconds": Key(
                Whole(1, MAX_BLOCK_SECONDS),
                "By how much the block that it is run in is later than the newest.",
            ),
            "actions": _COMMON["actions"],
        },
        "What a pending transaction would do, run on the newest block's state.",
    ),
    "pending_detection": Table(
        {
            "kind": Key(
                Choice(("pending_detection",)),
                "True of a pending transaction that a detection finds strange.",
            ),
            "signal": Key(_REFERENCE, "The detection, by the name of its signal under `signals:`."),
            "level": Key(
                Choice(tuple(each.name.lower() for each in Level)),
                "From which level of the detection on.",
            ),
            "block_seconds": Key(
                Whole(1, MAX_BLOCK_SECONDS),
                "By how much the block that it is run in is later than the newest.",
            ),
            "actions": _COMMON["actions"],
        },
        "What the trace detectors say of what a pending transaction would do at the newest block.",
    ),
}
RULES: Final = Named(
    tuple(RULE_KINDS.values()),
    MAX_RULES,
    NAME,
    least=1,
    empty="a policy without rules watches nothing; write at least one",
)

POLICY: Final = Table(
    {
        "tocsin": Key(Whole(POLICY_FORMAT, POLICY_FORMAT), "The format's version."),
        "name": Key(Text(NAME, NAME_RULE), "The policy's name."),
        "version": Key(Whole(1, 2**32 - 1), "Yours; raise it with every change."),
        "ttl_seconds": Key(Whole(1, MAX_TTL_SECONDS), "How long an alert may be delivered."),
        "source_chain_id": Key(_CHAIN_ID, "The chain that is watched."),
        "contracts": Key(CONTRACTS, "Contracts that are watched, and guardians."),
        "signals": Key(SIGNALS, "One integer each, read at every block."),
        "actions": Key(ACTIONS, "What may be asked of the guardians."),
        "rules": Key(RULES, "When to ring, and what to ask for then."),
        "include": INCLUDE,
    }
)


def policy_schema() -> dict[str, Json]:
    """The JSON Schema of rule policies."""
    return document_schema(POLICY, title="Tocsin rule policy")
