"""Byzantine operators: one mind with all their keys, that sees all that is sent to any of them.

They use their own keys as they like and combine what they heard by the calls of `consensus.bls`. What they
try: silence, one alert to some and another to others, alarms that nothing stands behind, bytes that are
nothing, points that are no signature, sums with names of those who did not sign, sums that overlap, and all
that they ever heard once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from consensus.alert import Alert
from consensus.attestation import Attestation
from consensus.errors import Refused
from consensus.partial import (
    Contribution,
    PartialCertificate,
    as_partial,
    compute_signers,
    decode_partial,
    encode_partial,
    merge,
)
from consensus.types import Digest, OperatorIndex
from node.gossip.frames import Kind, decode_attestation, encode_attestation, encode_frame, parse_frame
from node.gossip.transport import PeerId
from tests.simulation.members import make_claim
from tests.simulation.world import World

MAX_HEARD = 200
TRICKS_PER_LIAR = 6


class Liars:
    """The coalition. `plot` plans what each of them does around one incident."""

    def __init__(self, indices: Sequence[int], world: World) -> None:
        self.indices = tuple(OperatorIndex(index) for index in indices)
        self._world = world
        self._heard: list[bytes] = []
        self._contributions: dict[Digest, list[Contribution]] = {}
        self._tricks: list[Callable[[OperatorIndex, Alert], None]] = [
            self._be_silent,
            self._tell_some,
            self._split,
            self._cry_wolf,
            self._send_rubbish,
            self._mutate,
            self._forge,
            self._pad,
            self._tangle,
            self._replay,
        ]
        for index in self.indices:
            world.listen(index, self._hear)

    def plot(self, alert: Alert, *, around: int) -> None:
        """Each liar tries some of its tricks within five seconds of the incident."""
        draw = self._world.random
        for index in self.indices:
            for trick in draw.choices(self._tricks, k=TRICKS_PER_LIAR):
                when = around + draw.randrange(5_000)
                self._world.at(when, lambda trick=trick, index=index: trick(index, alert))  # type: ignore[misc]

    # --- what they hear

    def _hear(self, _sender: PeerId, payload: bytes) -> None:
        if len(self._heard) < MAX_HEARD:
            self._heard.append(payload)
        try:
            frame = parse_frame(payload)
            contribution: Contribution
            if frame.kind is Kind.ATTESTATION:
                contribution = decode_attestation(frame.body)
            elif frame.kind is Kind.PARTIAL_CERTIFICATE:
                contribution = decode_partial(frame.body)
            else:
                return
        except Refused:
            return
        known = self._contributions.setdefault(contribution.digest(), [])
        if len(known) < MAX_HEARD:
            known.append(contribution)

    # --- what they do

    def _be_silent(self, _index: OperatorIndex, _alert: Alert) -> None:
        """Withhold."""

    def _tell_some(self, index: OperatorIndex, alert: Alert) -> None:
        self._tell(index, self._some(), self._world.sign(index, alert))

    def _split(self, index: OperatorIndex, alert: Alert) -> None:
        """One digest to some, others to the rest, up to three for one slot."""
        claims = [
            alert,
            *(make_claim(self._world.operator_set, *self._slot(alert), f"split {n}") for n in (1, 2)),
        ]
        signed = [self._world.sign(index, claim) for claim in claims]
        for other in self._everybody():
            self._tell(index, [other], self._world.random.choice(signed))

    def _cry_wolf(self, index: OperatorIndex, alert: Alert) -> None:
        """All liars' signatures under an alarm of their own, in one sum."""
        wolf = make_claim(self._world.operator_set, 9_000 + self._slot(alert)[0], "wolf")
        self._tell(index, self._everybody(), merge([self._world.sign(liar, wolf) for liar in self.indices]))

    def _send_rubbish(self, index: OperatorIndex, _alert: Alert) -> None:
        draw = self._world.random
        for other in self._some():
            self._world.send(index, other, draw.randbytes(draw.randrange(1, 200)))

    def _mutate(self, index: OperatorIndex, _alert: Alert) -> None:
        """Something that was heard, with one byte changed or cut short."""
        draw = self._world.random
        for other in self._some():
            if self._heard:
                payload = bytearray(draw.choice(self._heard))
                payload[draw.randrange(len(payload))] ^= 1 << draw.randrange(8)
                end = draw.choice([len(payload), draw.randrange(1, len(payload))])
                self._world.send(index, other, bytes(payload[:end]))

    def _forge(self, index: OperatorIndex, alert: Alert) -> None:
        """A valid point that is nobody's signature over this alert."""
        other = make_claim(self._world.operator_set, 8_000, "forged")
        stolen = self._world.sign(index, other).signature
        forged = Attestation(alert=alert, operator_index=index, signature=stolen)
        self._tell(index, self._some(), forged)

    def _pad(self, index: OperatorIndex, alert: Alert) -> None:
        """True signatures under the names of many who did not give theirs."""
        own = merge([self._world.sign(liar, alert) for liar in self.indices])
        names = (
            compute_signers(self._world.random.sample(self._everybody(), k=min(3, len(self._everybody()))))
            | own.signers
        )
        self._tell(index, self._some(), replace(own, signers=names))

    def _tangle(self, index: OperatorIndex, alert: Alert) -> None:
        """True sums that overlap with those of others, each to somebody else."""
        draw = self._world.random
        known = [as_partial(each) for each in self._contributions.get(alert.digest(), ())]
        for other in self._everybody():
            mixed: list[PartialCertificate] = [as_partial(self._world.sign(index, alert))]
            for each in draw.sample(known, k=min(len(known), 4)):
                if not any(each.signers & part.signers for part in mixed):
                    mixed.append(each)
            try:
                self._tell(index, [other], merge(mixed))
            except Refused:
                continue  # what was heard need not be true: its sum may be nothing

    def _replay(self, index: OperatorIndex, _alert: Alert) -> None:
        for payload in self._heard[:20]:
            for other in self._some():
                self._world.send(index, other, payload)

    # --- by whom and to whom

    def _tell(self, index: OperatorIndex, receivers: Sequence[int], contribution: Contribution) -> None:
        if isinstance(contribution, PartialCertificate):
            payload = encode_frame(Kind.PARTIAL_CERTIFICATE, encode_partial(contribution))
        else:
            payload = encode_frame(Kind.ATTESTATION, encode_attestation(contribution))
        for receiver in receivers:
            self._world.send(index, receiver, payload)

    def _everybody(self) -> list[int]:
        return [each for each in range(len(self._world.operator_set.operators)) if each not in self.indices]

    def _some(self) -> list[int]:
        others = self._everybody()
        return self._world.random.sample(others, k=self._world.random.randint(1, len(others)))

    @staticmethod
    def _slot(alert: Alert) -> tuple[int]:
        return (int(alert.slot.anchor_number),)
