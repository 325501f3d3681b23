"""Detectors that others wrote: a package announces one by an entry point, and a policy calls it by its name.

    [project.entry-points."tocsin.detectors"]
    deep_nesting = "tocsin_deep_nesting:DeepNesting"

Only what a policy names is imported. A plugin is code that runs in the watcher with all its rights: install
it as you would the watcher itself. Its package and version become part of the policy's hash, since another
version may judge otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from consensus.errors import Reason, Refused
from node.detect.detector import Detector

GROUP: Final = "tocsin.detectors"


@dataclass(frozen=True, slots=True)
class Plugin:
    """A detector from another package. `package` is that package and its version, as `name==1.2.3`."""

    detector: type[Detector]
    package: str


@lru_cache(maxsize=64)
def find_plugin(name: str) -> Plugin | None:
    """The installed plugin of this name; None where there is none. What is installed later is not seen.

    Raises `Refused` (PLUGIN_INVALID) where two packages claim the name, or the one that does cannot be used.
    """
    announced = {(package_of(each), each.value): each for each in entry_points(group=GROUP, name=name)}
    if not announced:
        return None
    if len(announced) > 1:
        packages = ", ".join(sorted(package for package, _ in announced))
        raise _refusal(name, f"claimed by {packages}; keep one of them installed")
    ((package, value), entry_point) = announced.popitem()
    try:
        loaded = entry_point.load()
    except Exception as error:
        raise _refusal(
            name, f"{value} of {package} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Detector)):
        raise _refusal(name, f"{value} of {package} is no subclass of node.detect.detector.Detector")
    if getattr(loaded, "name", None) != name:
        raise _refusal(name, f"{value} of {package} calls itself {getattr(loaded, 'name', None)!r}")
    missing = sorted(loaded.__abstractmethods__)
    if missing:
        raise _refusal(name, f"{value} of {package} does not say how to {', '.join(missing)}")
    return Plugin(loaded, package)


def installed_plugins() -> tuple[str, ...]:
    """The names that installed packages announce, none of them imported."""
    return tuple(sorted({each.name for each in entry_points(group=GROUP)}))


def package_of(entry_point: EntryPoint) -> str:
    """The package and version that announce an entry point."""
    distribution = entry_point.dist
    return "an unknown package" if distribution is None else f"{distribution.name}=={distribution.version}"


def _refusal(name: str, said: str) -> Refused:
    return Refused(Reason.PLUGIN_INVALID, f"the detector {name!r}: {said}")
