"""Every detector by name, with the parameters that a policy must give it and their bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from node.detect.balance_drain import BalanceDrain
from node.detect.contract_caller import ContractCaller
from node.detect.detector import Detector
from node.detect.mint_anomaly import MintAnomaly
from node.detect.novel_flow import NovelFlow
from node.detect.privileged_change import PrivilegedChange
from node.detect.reentrancy import Reentrancy
from node.detect.repetition_burst import RepetitionBurst
from node.detect.round_trip import RoundTrip
from node.detect.storage_record import StorageRecord
from node.detect.volume_record import VolumeRecord
from node.detect.wrapped_number import WrappedNumber


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """An integer that a policy sets; both bounds are allowed."""

    name: str
    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """How a detector is made."""

    make: Callable[..., Detector]
    parameters: tuple[Parameter, ...] = ()


def _bps(name: str) -> Parameter:
    return Parameter(name=name, least=1, most=10_000_000)


def _count(name: str) -> Parameter:
    return Parameter(name=name, least=1, most=1_000_000)


CATALOGUE: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        NovelFlow.name: Entry(make=NovelFlow),
        ContractCaller.name: Entry(make=ContractCaller, parameters=(_count("least_direct_calls"),)),
        RepetitionBurst.name: Entry(make=RepetitionBurst, parameters=(_count("least_calls"),)),
        Reentrancy.name: Entry(make=Reentrancy),
        BalanceDrain.name: Entry(make=BalanceDrain, parameters=(_bps("least_bps"), _bps("dust_bps"))),
        VolumeRecord.name: Entry(
            make=VolumeRecord, parameters=(_bps("least_bps"), _count("least_movements"))
        ),
        RoundTrip.name: Entry(make=RoundTrip, parameters=(_bps("least_bps"),)),
        MintAnomaly.name: Entry(make=MintAnomaly, parameters=(_bps("least_bps"), _count("least_mints"))),
        PrivilegedChange.name: Entry(
            make=PrivilegedChange, parameters=(_count("cold_calls"), _count("least_slots"))
        ),
        StorageRecord.name: Entry(make=StorageRecord, parameters=(_bps("least_bps"), _count("least_writes"))),
        WrappedNumber.name: Entry(make=WrappedNumber),
    }
)
