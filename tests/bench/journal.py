"""Kill -9 around signing, again and again: no conflicting signature, no acknowledged row lost.

    python -m tests.bench.journal [--cycles 1000] [--seed 1] [--door process|socket]

Each cycle is a process of its own that opens the journal of the cycle before, is asked for signatures, many
of them in conflict with what was signed before, and dies by SIGKILL at a named point or at a random moment. A
JSON line for each point, then one for the whole run; exit code 1 when a promise was broken. The seed replays
which process is asked what and where it dies; not the moments of the random kills.

With `--door socket` a cycle is two processes, a signer and its watcher, and either of them dies.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

import structlog
import trio

from consensus.alert import Alert
from consensus.alert_codec import decode_alert
from consensus.errors import Reason, Refused, Unavailable
from consensus.types import BlockNumber, OperatorIndex
from node.attest.door import SigningDoor
from node.attest.journal import Journal, create_journal, open_journal
from node.attest.messages import Attest, decode_request
from node.attest.pairing import Role, create_pair, read_pair
from node.attest.remote import RemoteSigner
from node.attest.service import SignerService, listening
from node.attest.signer import Signer
from tests.attest.crashing_signer import POINTS, arm
from tests.consensus.factories import make_alert, make_bytes32, make_public_key, make_secret, make_slot

ANY_MOMENT: Final = "any-moment"
ASKED: Final = 4  # signatures that a process is asked for, before the one at which it dies
VIEWS: Final = 3  # alerts that contradict each other, for each slot
FATAL_HEIGHT: Final = 10_000_000  # the alerts at which a process dies
NEW_SLOTS: Final = 2  # heights that come into play with each cycle; older ones are asked for again
LONGEST_LIFE_SECONDS: Final = 0.1
PATIENCE_SECONDS: Final = 5  # of a watcher whose signer never comes
FINISHED: Final = 77  # exit code of a process that did not die


@dataclass(slots=True)
class Promises:
    """What was said by all processes so far, by slot: digest and, when published, signature, in hex."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    published: dict[str, tuple[str, str]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def hear(self, line: str) -> None:
        """Hold one line of a process against all before it."""
        what, slot, *said = line.split()
        if what == "acknowledged":
            self._keep(slot, said[0], line)
        elif what == "published":
            self._keep(slot, said[0], line)
            if self.published.setdefault(slot, (said[0], said[1])) != (said[0], said[1]):
                self.broken.append(f"two signatures for a slot: {line}")
        elif what == "refused":
            self.refused[said[0]] += 1
        else:
            self.broken.append(line)

    def _keep(self, slot: str, digest: str, line: str) -> None:
        if self.acknowledged.setdefault(slot, digest) != digest:
            self.broken.append(f"two digests for a slot: {line}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one process is asked for, and where it dies."""

    alerts: tuple[Alert, ...]
    point: str
    seconds: float
    is_watcher: bool
    """Of two processes, at any moment, it is the watcher that dies."""


def main(cycles: int, seed: int, door: str) -> int:
    """Run the cycles; 0 when every promise was kept."""
    run = {"process": _run, "socket": _run_both}[door]
    chance = random.Random(seed)
    promises, killed, outlived = Promises(), Counter[str](), 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        trio.run(_create, path)
        create_pair(path.parent)
        for cycle in range(cycles):
            plan = _plan(cycle, chance)
            code = run(path, plan, promises)
            killed[plan.point] += code == -signal.SIGKILL
            outlived += code == FINISHED
            if code not in (-signal.SIGKILL, FINISHED):
                promises.broken.append(f"cycle {cycle} at {plan.point} ended with {code}")
            if promises.broken:
                break
        rows, causes = trio.run(_look, path, promises)
    for point in (*POINTS, ANY_MOMENT):
        line = {"metric": "journal_kills", "door": door, "point": point, "killed": killed[point]}
        print(json.dumps(line), flush=True)
    print(
        json.dumps(
            {
                "metric": "journal_cycles",
                "door": door,
                "cycles": cycles,
                "killed": killed.total(),
                "outlived": outlived,
                "rows": rows,
                "acknowledged": len(promises.acknowledged),
                "published": len(promises.published),
                "refused": dict(promises.refused),
                "armed": causes,
                "broken": promises.broken,
                "seed": seed,
                "seconds": round(time.monotonic() - began, 1),
            }
        ),
        flush=True,
    )
    return 1 if promises.broken else 0


def _plan(cycle: int, chance: random.Random) -> Plan:
    heights = [
        cycle * NEW_SLOTS + chance.randrange(NEW_SLOTS)
        if chance.random() < 0.5
        else chance.randrange((cycle + 1) * NEW_SLOTS)
        for _ in range(ASKED)
    ]
    # the one at which it is to die is a new slot: only a new one reaches every point
    heights.append(cycle + FATAL_HEIGHT)
    return Plan(
        alerts=tuple(_alert(height, chance.randrange(VIEWS)) for height in heights),
        point=POINTS[cycle] if cycle < len(POINTS) else chance.choice((*POINTS, *[ANY_MOMENT] * 3)),
        seconds=chance.uniform(0, LONGEST_LIFE_SECONDS),
        is_watcher=chance.random() < 0.5,
    )


def _alert(height: int, view: int) -> Alert:
    return make_alert(
        slot=make_slot(anchor_number=height, anchor_hash=make_bytes32(f"block {height}")),
        evidence_hash=make_bytes32(f"view {view}"),
    )


def _run(path: Path, plan: Plan, promises: Promises) -> int:
    """One process, forked so that a thousand of them take a minute; its exit code, negative for a signal."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w", buffering=1) as said:
            trio.run(_live, path, plan, promises, said)
        os._exit(FINISHED)
    os.close(writing)
    if plan.point == ANY_MOMENT:
        time.sleep(plan.seconds)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading) as said:
        for line in said:
            if line.endswith("\n"):  # a line that the kill cut short was not said
                promises.hear(line)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _run_both(path: Path, plan: Plan, promises: Promises) -> int:
    """A signer and a watcher that asks it; the exit code of the one that was to die."""
    reading, writing = os.pipe()
    processes = []
    for work in (_serve, _watch):
        child = os.fork()
        if child == 0:
            os.close(reading)
            with os.fdopen(writing, "w", buffering=1) as said:
                trio.run(work, path, plan, promises, said)
            os._exit(FINISHED)
        processes.append(child)
    os.close(writing)
    signer, watcher = processes
    dying = watcher if plan.is_watcher and plan.point == ANY_MOMENT else signer
    if plan.point == ANY_MOMENT:
        time.sleep(plan.seconds)
        os.kill(dying, signal.SIGKILL)
    codes = {watcher: os.waitstatus_to_exitcode(os.waitpid(watcher, 0)[1])}
    os.kill(signer, signal.SIGKILL)  # where it is not dead already: the next cycle has one of its own
    codes[signer] = os.waitstatus_to_exitcode(os.waitpid(signer, 0)[1])
    with os.fdopen(reading) as said:
        for line in said:
            if line.endswith("\n"):
                promises.hear(line)
    return codes[dying]


async def _serve(path: Path, plan: Plan, promises: Promises, said: TextIO) -> None:
    """The signer: it dies at the plan's point when the fatal alert comes."""
    async with open_journal(path, make_public_key(0)) as journal, listening(path.parent / "s") as listener:
        for line in await _missing(journal, promises):
            said.write(line)
        _announce(journal, said, fatal=None if plan.point == ANY_MOMENT else plan.point)
        pairing = read_pair(path.parent / "signer.pair", Role.SIGNER)
        service = SignerService(Signer(make_secret(0), journal), journal, pairing)
        if plan.point == "before-publishing":
            answer = service._answer

            async def answer_and_die(message: bytes) -> Any:
                found = await answer(message)
                if journal.statistics().recorded and _is_fatal(message):
                    os.kill(os.getpid(), signal.SIGKILL)
                return found

            service._answer = answer_and_die  # type: ignore[method-assign]
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        await service.run(listener)


def _is_fatal(message: bytes) -> bool:
    request = decode_request(message)
    return isinstance(request, Attest) and decode_alert(request.alert).slot.anchor_number >= FATAL_HEIGHT


async def _watch(path: Path, plan: Plan, promises: Promises, said: TextIO) -> None:
    """The watcher: it asks until the signer is gone, or it is itself."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    remote = RemoteSigner(path.parent / "s", read_pair(path.parent / "watcher.pair", Role.WATCHER))
    # a signer that was killed at any moment may never have come
    with trio.move_on_after(
        LONGEST_LIFE_SECONDS if plan.point == ANY_MOMENT else PATIENCE_SECONDS
    ) as patience:
        while True:
            try:
                await remote.greet()
                break
            except Unavailable:  # it starts at the same time
                await trio.sleep(0.005)
    if patience.cancelled_caught:
        return
    endless = [_alert(20_000_000 + height, height % VIEWS) for height in range(50)]
    for alert in (*plan.alerts[:-1], *(endless if plan.point == ANY_MOMENT else plan.alerts[-1:])):
        try:
            await _ask(remote, alert, said)
        except Unavailable:
            return


async def _live(path: Path, plan: Plan, promises: Promises, said: TextIO) -> None:
    """A process: it looks whether all that was acknowledged is there, then signs what it is asked."""
    async with open_journal(path, make_public_key(0)) as journal:
        for line in await _missing(journal, promises):
            said.write(line)
        signer = Signer(make_secret(0), journal)
        _announce(journal, said)
        *before, last = plan.alerts
        for alert in before:
            await _ask(signer, alert, said)
        if plan.point != ANY_MOMENT:
            arm(plan.point, journal)
            await _ask(signer, last, said, dies=plan.point == "before-publishing")
        else:
            for height in range(1_000):  # until the kill comes
                await _ask(signer, _alert(20_000_000 + height, height % VIEWS), said)


def _announce(journal: Journal, said: TextIO, *, fatal: str | None = None) -> None:
    """Have each row that the journal acknowledges told, before anything is signed.

    With `fatal` this process dies at that point of the first alert from FATAL_HEIGHT on.
    """
    record = journal.record

    async def record_and_tell(digest, *, slot, **rest):  # type: ignore[no-untyped-def]
        if fatal is not None and FATAL_HEIGHT <= slot.anchor_number < 2 * FATAL_HEIGHT:
            arm(fatal, journal)
        entry = await record(digest, slot=slot, **rest)
        said.write(f"acknowledged {slot.id().hex()} {digest.hex()}\n")
        return entry

    journal.record = record_and_tell  # type: ignore[method-assign]


async def _ask(signer: SigningDoor, alert: Alert, said: TextIO, *, dies: bool = False) -> None:
    slot = alert.slot_id().hex()
    try:
        attestation = await signer.attest(alert, OperatorIndex(0), since=BlockNumber(0))
    except Refused as refused:
        if refused.reason is not Reason.SLOT_ALREADY_SIGNED:
            said.write(f"wrong refusal: {refused.reason}\n")
        said.write(f"refused {slot} {refused.reason}\n")
        return
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)
    said.write(f"published {slot} {alert.digest().hex()} {attestation.signature.to_bytes().hex()}\n")


async def _missing(journal: Journal, promises: Promises) -> list[str]:
    held = await journal._store.transact(
        lambda connection: dict(
            connection.execute("SELECT lower(hex(slot_id)), lower(hex(digest)) FROM signed")
        )
    )
    return list(_lost(promises, held))


def _lost(promises: Promises, held: dict[str, str]) -> Iterator[str]:
    for slot, digest in promises.acknowledged.items():
        if held.get(slot) != digest:
            yield f"lost: {slot} {digest}\n"


async def _create(path: Path) -> None:
    async with create_journal(path, make_public_key(0)):
        pass


async def _look(path: Path, promises: Promises) -> tuple[int, int]:
    """How many rows there are at the end, and how often the journal was armed: no kill is a restore."""
    async with open_journal(path, make_public_key(0)) as journal:
        promises.broken += await _missing(journal, promises)
        causes = await journal.causes()
        promises.broken += [f"armed: {cause}" for cause in causes]
        return journal.statistics().rows, len(causes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cycles", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--door", choices=("process", "socket"), default="process")
    given = parser.parse_args()
    sys.exit(main(given.cycles, given.seed, given.door))
