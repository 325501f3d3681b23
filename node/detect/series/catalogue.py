"""Every series detector by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from node.detect.series.abnormal_volume import AbnormalVolume
from node.detect.series.bad_debt import BadDebt
from node.detect.series.concentration import Concentration
from node.detect.series.depeg import Depeg
from node.detect.series.detector import SeriesDetector
from node.detect.series.drift import Drift
from node.detect.series.hourly_volume import HourlyVolume
from node.detect.series.oracle_deviation import OracleDeviation
from node.detect.series.risk_steps import RiskSteps
from node.detect.series.utilisation_shift import UtilisationShift

SERIES_CATALOGUE: Final[Mapping[str, type[SeriesDetector]]] = MappingProxyType(
    {
        detector.name: detector
        for detector in (
            AbnormalVolume,
            HourlyVolume,
            UtilisationShift,
            BadDebt,
            OracleDeviation,
            Concentration,
            RiskSteps,
            Depeg,
            Drift,
        )
    }
)
