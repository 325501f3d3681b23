"""A detector from another package: found by its entry point, named in a policy, asked like our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consensus.errors import Broken, Reason, Refused
from node.detect import plugins
from node.detect.detector import Detector
from node.detect.policy import DetectionPolicy, parse_detection_policy
from node.detect.watch import Watch, canonical
from tests.detect.policies import SMALL, make_policy
from tests.detect.recordings import hash_of, quiet_history, recorded_call, write_zip
from tests.detect.traces import DEPOSIT, WITHDRAW, deposit

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "plugins" / "deep-nesting"
POLICY = SMALL.replace("  novel_flow: {}\n", "  deep_nesting: {least_levels: 2}\n")
ANNOUNCED = "[tocsin.detectors]\nodd = odd_detector:Odd\n"
SOUND = """
from node.detect.detector import Detector
from node.detect.evidence import Family
class Odd(Detector):
    name = "odd"
    family = Family.FLOW
    def judge(self, transaction):
        raise ZeroDivisionError("a mistake")
    def state(self):
        return 0
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed the example, as a user would install it."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
         "--no-build-isolation", "--target", str(folder), str(EXAMPLE)],
        check=True,
    )  # fmt: skip
    return folder


def backtest(tmp_path: Path, *, python_path: list[Path]) -> subprocess.CompletedProcess[str]:
    """`tocsin backtest` over a quiet history at whose end calls nest five deep."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    blocks = quiet_history(60)
    frames = [
        recorded_call(DEPOSIT if n % 2 else WITHDRAW, kind="call", span=(100 + n, 900 - n)) for n in range(5)
    ]
    blocks[20_000] = {hash_of(99): [frames, []]}
    history = write_zip(tmp_path / "history.zip", blocks)
    return subprocess.run(
        [sys.executable, "-m", "node", "backtest", "--policy", str(tmp_path / "policy.yaml"),
         "--history", str(history), "--exploit-tx", hash_of(99), "--json"],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [ROOT, *python_path]))},
    )  # fmt: skip


def test_the_example_package_is_installed_and_asked(tmp_path: Path, installed: Path) -> None:
    played = backtest(tmp_path, python_path=[installed])

    assert played.returncode == 0, played.stderr
    assert "deep_nesting" in json.loads(played.stdout)["detectors"]


def test_the_example_takes_its_learned_state_back(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed))
    plugins.find_plugin.cache_clear()
    policy = parse_detection_policy(POLICY.encode())
    watch = Watch(policy)
    watch.learn(deposit())

    restored = Watch(policy)
    restored.restore(json.loads(canonical(watch.state())), {})
    plugins.find_plugin.cache_clear()

    assert watch.state()["detectors"]["deep_nesting"] == 1
    assert restored.state_hash() == watch.state_hash()


def test_without_the_package_the_policy_is_refused_with_its_line(tmp_path: Path) -> None:
    played = backtest(tmp_path, python_path=[])

    assert played.returncode == 2
    assert "line 13: detectors.deep_nesting: no detector is called 'deep_nesting'" in played.stderr


@pytest.fixture
def announce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs a package, by hand, that announces the detector `odd`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins.find_plugin.cache_clear()

    def install(
        source: str, *, package: str = "odd", version: str = "1.0", module: str = "odd_detector"
    ) -> None:
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{package}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(ANNOUNCED.replace("odd_detector", module))
        for name in ("odd_detector", module):
            monkeypatch.delitem(sys.modules, name, raising=False)

    yield install
    plugins.find_plugin.cache_clear()


def odd_policy() -> DetectionPolicy:
    return make_policy(("  novel_flow: {}\n", "  odd: {}\n"))


def test_package_and_version_are_part_of_the_policys_hash(
    announce: Callable[..., None], tmp_path: Path
) -> None:
    announce(SOUND)
    first = odd_policy()
    (tmp_path / "odd-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: odd\nVersion: 1.1\n"
    )
    plugins.find_plugin.cache_clear()

    assert first.plugins == {"odd": "odd==1.0"}
    assert odd_policy().hash != first.hash


def test_a_detector_that_fails_is_named_with_the_transaction(announce: Callable[..., None]) -> None:
    announce(SOUND)

    with pytest.raises(Broken, match=f"'odd' failed at transaction {deposit().hash} with ZeroDivisionError"):
        Watch(odd_policy()).learn(deposit())


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nothing_of_this_name", "cannot be imported: ModuleNotFoundError"),
        ("raise RuntimeError('no')", "cannot be imported: RuntimeError: no"),
        ("Odd = 3", "is no subclass"),
        ("class Odd: name = 'odd'", "is no subclass"),
        (SOUND.replace('"odd"', '"even"'), "calls itself 'even'"),
        (SOUND.replace("    def state(self):\n        return 0\n", ""), "does not say how to state"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_refused(
    announce: Callable[..., None], source: str, said: str
) -> None:
    announce(source)

    with pytest.raises(Refused, match=said) as caught:
        odd_policy()
    assert caught.value.reason is Reason.PLUGIN_INVALID


def test_two_packages_of_one_name_are_refused(announce: Callable[..., None]) -> None:
    announce(SOUND)
    announce(SOUND, package="odder", module="odder_detector")

    with pytest.raises(Refused, match=r"claimed by odd==1\.0, odder==1\.0"):
        odd_policy()


def test_a_plugin_cannot_take_the_place_of_a_detector_of_ours(
    announce: Callable[..., None], tmp_path: Path
) -> None:
    announce(SOUND.replace('"odd"', '"reentrancy"'))
    (tmp_path / "odd-1.0.dist-info" / "entry_points.txt").write_text(
        ANNOUNCED.replace("odd =", "reentrancy =")
    )

    policy = make_policy()

    assert policy.plugins == {}
    Watch(policy).learn(deposit())


def test_what_no_policy_names_is_not_imported(announce: Callable[..., None]) -> None:
    announce("raise RuntimeError('imported')")

    assert issubclass(type(Watch(make_policy())._detectors[0]), Detector)
