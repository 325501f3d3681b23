"""docs/assurance.md names, for each invariant and pitfall, the tests that there are."""

import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TOOL = Path("contracts/tools/assurance")


def check(repository: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([repository / TOOL, "--check"], capture_output=True, text=True, check=False)


def copy(folder: Path) -> Path:
    for part in ("contracts/tools", "contracts/test"):
        shutil.copytree(REPOSITORY / part, folder / part)
    (folder / "docs").mkdir()
    shutil.copy(REPOSITORY / "docs/assurance.md", folder / "docs")
    return folder


def test_every_invariant_and_pitfall_has_a_test_and_the_page_says_which() -> None:
    checked = check(REPOSITORY)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_label_without_a_test_is_named(tmp_path: Path) -> None:
    repository = copy(tmp_path)
    for path in repository.glob("contracts/test/**/*.sol"):
        path.write_text(path.read_text().replace("_T34_", "_"))

    checked = check(repository)

    assert checked.returncode == 1
    assert "no test carries T34" in checked.stdout


def test_page_that_is_behind_the_tests_is_refused(tmp_path: Path) -> None:
    repository = copy(tmp_path)
    (repository / "contracts/test/guardian/New.t.sol").write_text(
        "contract New { function test_I1_Another() public {} }"
    )

    checked = check(repository)

    assert checked.returncode == 1
    assert "not current" in checked.stdout
