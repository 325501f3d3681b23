"""What every trace detector is: something that learns what is usual and says what is not.

A detector keeps three things apart, because the watch treats them differently:

- `learn` takes a transaction into the baseline: what is usual here. Only benign transactions get there.
- `follow` keeps facts of the chain, such as balances, up to date. Every transaction gets there, the attack
  too: what it took is gone.
- `judge` compares one transaction with both, and changes neither.

So a verdict is a function of the transactions before it. All numbers are integers. `state` is everything that
`judge` depends on, as plain JSON values, so that a hash can name it and a file can keep it; `restore` takes
it back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from consensus.errors import Reason, Refused
from node.detect.evidence import Evidence, Family
from node.detect.parameter import Parameter
from node.trace import TransactionTrace

State = Mapping[str, "State"] | Sequence["State"] | str | int


class Detector(ABC):
    """Base of all detectors. A new one sets `name` and `family`, and takes its parameters by name when it is
    made. It is listed in `node/detect/catalogue.py`, or comes in a package of its own
    (`node/detect/plugins.py`)."""

    name: ClassVar[str]
    """As the policy and reports call it: lower case, `_` between words."""
    family: ClassVar[Family]
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    """What a policy must set; the detector is made with exactly these."""

    @abstractmethod
    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        """What is strange about it, compared with everything learned and followed so far; None: nothing."""

    def learn(self, transaction: TransactionTrace) -> None:  # noqa: B027 (a detector may have no baseline)
        """Take a benign transaction into the baseline."""

    def follow(self, transaction: TransactionTrace) -> None:  # noqa: B027 (a detector may keep no books)
        """Bring facts of the chain up to date with a transaction that happened, benign or not."""

    @abstractmethod
    def state(self) -> State:
        """All that `judge` depends on, beside the parameters."""

    def restore(self, state: object) -> None:
        """Take over what `state` gave, into a detector that has seen nothing.

        Raises `ValueError` with the place in it that has another shape; unless it is written, `Refused`
        (STATE_FOREIGN).
        """
        raise Refused(
            Reason.STATE_FOREIGN,
            f"the detector {self.name!r} cannot take learned state back; give it a `restore`, or learn and "
            "judge in one run",
        )

    def found(self, score: int, summary: str) -> Evidence:
        """Evidence in this detector's name."""
        return Evidence(detector=self.name, family=self.family, score=score, summary=summary)


def shown(account: str) -> str:
    """An account short enough for a sentence."""
    return f"{account[:10]}…{account[-4:]}"
