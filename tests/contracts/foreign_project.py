"""A Foundry project of a stranger: where the npm package is installed, and the tools that it is used with.

Nothing is fetched: forge, cast and the compiler are this checkout's, as are the packages that npm installs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CONTRACTS = REPOSITORY / "contracts"
SOURCES = Path(__file__).parent / "consumer"
INSTALLED = "node_modules/@tocsin/contracts"

NPM_SECONDS = 600  # packing compiles the release profile where nobody has yet
FORGE_SECONDS = 300

(CAST,) = (CONTRACTS / "node_modules" / "@foundry-rs").glob("cast-*/bin/cast")
ENVIRONMENT = os.environ | {
    "FOUNDRY_SOLC": str(CONTRACTS / "tools" / "solcjs-native"),
    "FOUNDRY_OFFLINE": "true",
    # the binaries themselves: npm's launchers end with 0 whatever happens
    "PATH": os.pathsep.join([str(CONTRACTS / "tools"), str(CAST.parent), os.environ["PATH"]]),
}


def npm(*arguments: str | Path, cwd: Path) -> str:
    """What npm printed."""
    program = shutil.which("npm") or str(REPOSITORY / ".venv" / "bin" / "npm")
    done = subprocess.run(
        [program, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=NPM_SECONDS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def pack(folder: Path) -> Path:
    """The archive as it would be published."""
    npm("pack", "--ignore-scripts=false", "--pack-destination", folder, cwd=CONTRACTS)
    (packed,) = folder.glob("*.tgz")
    return packed


def install(archive: Path, project: Path) -> None:
    """Make `project` a Foundry project with the archive and its peers in it."""
    shutil.copytree(SOURCES, project, dirs_exist_ok=True)
    (project / "package.json").write_text('{"name": "consumer", "version": "1.0.0", "private": true}')
    modules = CONTRACTS / "node_modules"
    peers = [
        modules / "@openzeppelin" / "contracts",
        modules / "solady",
        modules / "@layerzerolabs" / "toolbox-foundry",
    ]
    # links would lead the compiler out of the project
    npm("install", "--offline", "--ignore-scripts", "--install-links", archive, *peers, cwd=project)


def forge(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The real forge with this checkout's compiler."""
    command = [str(CONTRACTS / "tools" / "forge"), *arguments]
    return subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=FORGE_SECONDS
    )
