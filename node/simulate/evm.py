"""One EVM over one block's state: pyrevm, which asks a URL for what it has not seen.

pyrevm cannot tell what a word of storage that it was not given is; asked to run in memory it says zero, also
within calls that are reverted and leave no trace. So it runs as if on a fork: each miss goes to the state
server, whose refusal ends the transaction with an error, and unknown stays unknown. What was fetched stays in
its database, and each run is taken back, so that the next one pays for cold storage again as on chain.

What it gives: success, gas, logs, the journal of storage and coin, balances. What it cannot give: the tree
of calls (its step tracer calls the interpreter's `print` for each fragment: half a minute for one
transaction), selectors of inner calls, and anything of a call that was reverted. A transaction can tell that
it is simulated: base fee and gas price are zero. The rules are Cancun's: opcodes that came later halt it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from pyrevm import EVM, BlockEnv, CfgEnv, Env

from node.pending import NATIVE
from node.simulate.holdings import (
    ASKER,
    BALANCE_GAS,
    MAX_HOLDINGS,
    Asked,
    choose_holdings,
    encode_balance_of,
    side_of_sender,
)
from node.simulate.outcome import (
    Answer,
    Held,
    Moved,
    NotLetIn,
    OpenTask,
    Outcome,
    RunTask,
    Touched,
    Unknown,
)

SPECIFICATION: Final = "CANCUN"
MAX_TOUCHED: Final = 4_096
TRANSFER: Final = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"

_STORAGE: Final = re.compile(
    r"StorageChange \{ address: (0x[0-9a-f]{40}), key: (\d+), had_value: (None|Some\(\d+\)) \}"
)
_COIN: Final = re.compile(
    r"BalanceTransfer \{ from: (0x[0-9a-f]{40}), to: (0x[0-9a-f]{40}), balance: (\d+) \}"
    r"|AccountDestroyed \{ address: (0x[0-9a-f]{40}), target: (0x[0-9a-f]{40}), "
    r"was_destroyed: \w+, had_balance: (\d+) \}"
)
_NOT_LET_IN: Final = ("Transaction(", "Initial gas spend")
_OUT_OF_GAS: Final = "OutOfGas"


class StateMissing(Exception):  # noqa: N818 - it never leaves the room: it becomes an Unknown
    """The state server refused a word, or the EVM asked for what no block's state has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """pyrevm's result, and the address of what was created, if anything was."""

    result: Any
    created: str | None


class Evm:
    """The state of one block, as far as it was asked for."""

    def __init__(self, task: OpenTask) -> None:
        self._evm = EVM(
            Env(
                cfg=CfgEnv(chain_id=task.chain_id),
                block=BlockEnv(
                    number=task.block_number,
                    timestamp=task.timestamp,
                    gas_limit=task.block_gas,
                    prevrandao=bytes(32),
                ),
            ),
            fork_url=task.url,
            fork_block=hex(task.block_number),
            gas_limit=task.block_gas,
            spec_id=SPECIFICATION,
        )
        self._block_gas = task.block_gas
        with self._taken_back():
            for account in task.accounts:
                self._ask(partial(self._evm.basic, account))
            for contract, slot in task.slots:
                self._word(contract, slot)

    def run(self, task: RunTask) -> Answer:
        """Run a transaction and take it back. Raises `StateMissing`."""
        began = time.perf_counter()
        with self._taken_back():
            ended = self._execute(task)
            if isinstance(ended, NotLetIn | Unknown):
                return ended
            # a transaction that failed has no logs, and nothing of it is in the journal
            journal = self._journal()
            logs = ended.result.logs if ended.result.is_success else ()
            moved = [*_transfers(logs), *_coin(journal)]
            touched = [each for each in _storage(journal) if each[0] in set(task.watched)]
            named, found = choose_holdings(
                moved,
                watched=task.watched,
                tokens=task.tokens,
                sender_side=side_of_sender(task.sender, task.to, ended.created, watched=task.watched),
                asked=Asked.MOVED if task.asks_moved else Asked.NAMED,
            )
            if len(found) > MAX_HOLDINGS or len(touched) > MAX_TOUCHED:
                return Unknown(
                    why=f"it moves {len(found)} balances and touches {len(touched)} words, read are "
                    f"{MAX_HOLDINGS} and {MAX_TOUCHED}"
                )
            holdings = [*named, *found]
            words_after, held_after = self._look(touched, holdings)
        with self._taken_back():
            words_before, held_before = self._look(touched, holdings)
        return Outcome(
            succeeded=ended.result.is_success,
            reason=ended.result.reason,
            gas_used=ended.result.gas_used,
            touched=[
                Touched(contract, slot, was, now, is_written)
                for (contract, slot, is_written), was, now in zip(
                    touched, words_before, words_after, strict=True
                )
            ],
            moved=moved,
            held=[
                Held(token, holder, was, now)
                for (token, holder), was, now in zip(holdings, held_before, held_after, strict=True)
            ],
            created=ended.created,
            seconds=time.perf_counter() - began,
        )

    @contextmanager
    def _taken_back(self) -> Iterator[None]:
        """What is done within leaves nothing behind but what was fetched."""
        depth = self._evm.journal_depth
        checkpoint = self._evm.snapshot()
        try:
            yield
        finally:
            # an error of the state server leaves the calls open in which it struck
            while self._evm.journal_depth > depth + 1:
                self._evm.commit()
            self._evm.revert(checkpoint)

    def _execute(self, task: RunTask) -> _Ended | NotLetIn | Unknown:
        data, gas = bytes.fromhex(task.data), min(task.gas, self._block_gas)
        created = None
        try:
            if task.to is None:
                created = self._evm.deploy(task.sender, data, value=task.value_wei, gas=gas).lower()
            else:
                self._evm.message_call(task.sender, task.to, calldata=data, value=task.value_wei, gas=gas)
        except RuntimeError as error:
            if self._evm.result is None:
                if str(error).startswith(_NOT_LET_IN):
                    return NotLetIn(why=str(error)[:200])
                raise StateMissing(str(error)[:400]) from error
            if gas < task.gas and _OUT_OF_GAS in str(error):
                return Unknown(why=f"it needs more than the {gas} gas that it is given here")
        return _Ended(result=self._evm.result, created=created)

    def _look(
        self, touched: Iterable[tuple[str, int, bool]], holdings: Iterable[tuple[str, str]]
    ) -> tuple[list[int], list[int | None]]:
        """Words of storage and balances, as they stand now."""
        words = [self._word(contract, slot) for contract, slot, _ in touched]
        return words, [self._held(token, holder) for token, holder in holdings]

    def _journal(self) -> str:
        text = str(self._evm.journal_str)
        start = text.rfind("journal: [[")
        if start < 0:
            raise StateMissing("pyrevm's journal has another form than that of the pinned version")
        return text[start:]

    def _word(self, contract: str, slot: int) -> int:
        return int(self._ask(partial(self._evm.storage, contract, slot)))

    def _held(self, token: str, holder: str) -> int | None:
        if token == NATIVE:
            return int(self._ask(partial(self._evm.get_balance, holder)))
        call = encode_balance_of(holder)
        try:
            returned = self._evm.message_call(ASKER, token, calldata=call, gas=BALANCE_GAS, is_static=True)
        except RuntimeError as error:
            if self._evm.result is None:
                raise StateMissing(str(error)[:400]) from error
            return None
        return int.from_bytes(returned[:32]) if len(returned) >= 32 else None

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except RuntimeError as error:
            raise StateMissing(str(error)[:400]) from error


def _transfers(logs: Iterable[Any]) -> list[Moved]:
    """ERC-20 transfers; those of ERC-721 have a fourth topic."""
    found = []
    for log in logs:
        topics, data = log.topics, log.data[1]
        if len(topics) == 3 and topics[0] == TRANSFER and len(data) == 32:
            sender, receiver = (f"0x{topic[-40:]}" for topic in topics[1:])
            found.append(Moved(log.address.lower(), sender, receiver, int.from_bytes(data)))
    return found


def _coin(journal: str) -> list[Moved]:
    found = (match.groups() for match in _COIN.finditer(journal))
    moves = (each[:3] if each[0] else each[3:] for each in found)
    return [Moved(NATIVE, sender, receiver, int(wei)) for sender, receiver, wei in moves if int(wei)]


def _storage(journal: str) -> list[tuple[str, int, bool]]:
    """Contract, slot and whether it was written, in the order in which they were first touched."""
    touched: dict[tuple[str, int], bool] = {}
    for contract, slot, had in _STORAGE.findall(journal):
        key = (contract, int(slot))
        touched[key] = touched.get(key, False) or had != "None"
    return [(contract, slot, is_written) for (contract, slot), is_written in touched.items()]
