"""Every detector by name: those of this package, and those that others have installed beside it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from node.detect.balance_drain import BalanceDrain
from node.detect.contract_caller import ContractCaller
from node.detect.detector import Detector
from node.detect.mint_anomaly import MintAnomaly
from node.detect.novel_flow import NovelFlow
from node.detect.plugins import find_plugin, installed_plugins
from node.detect.privileged_change import PrivilegedChange
from node.detect.reentrancy import Reentrancy
from node.detect.repetition_burst import RepetitionBurst
from node.detect.round_trip import RoundTrip
from node.detect.storage_record import StorageRecord
from node.detect.volume_record import VolumeRecord
from node.detect.wrapped_number import WrappedNumber

CATALOGUE: Final[Mapping[str, type[Detector]]] = MappingProxyType(
    {
        detector.name: detector
        for detector in (
            NovelFlow,
            ContractCaller,
            RepetitionBurst,
            Reentrancy,
            BalanceDrain,
            VolumeRecord,
            RoundTrip,
            MintAnomaly,
            PrivilegedChange,
            StorageRecord,
            WrappedNumber,
        )
    }
)
"""The detectors of this package."""


def find_detector(name: str) -> type[Detector] | None:
    """The detector that a policy calls `name`: ours, else an installed plugin; None where there is none.

    Raises `Refused` (PLUGIN_INVALID) for a plugin that cannot be used.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    plugin = find_plugin(name)
    return None if plugin is None else plugin.detector


def find_package(name: str) -> str | None:
    """The package and version that a detector comes from; None for one of ours."""
    plugin = None if name in CATALOGUE else find_plugin(name)
    return None if plugin is None else plugin.package


def detector_names() -> tuple[str, ...]:
    """What a policy may name here: ours, then those of installed plugins."""
    return (*CATALOGUE, *(name for name in installed_plugins() if name not in CATALOGUE))
