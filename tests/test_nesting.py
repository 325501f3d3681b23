"""Deep nesting is refused, also in a process that has loaded what raises the interpreter's limit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEVELS = 60_000
AS_A_WATCHER = "import node.pipeline, sys; assert sys.getrecursionlimit() >= 100_000;"
ENDPOINT = f"""
from node.chain.endpoint import EndpointFailed, _decode
try:
    _decode(b'{{"id":0,"result":' + b'[' * {LEVELS} + b']' * {LEVELS} + b'}}')
except EndpointFailed as error:
    print("refused:", error)
"""
KEYSTORE = f"""
from pathlib import Path
from consensus.errors import Refused
from node.attest.keystore import _read_keystore
path = Path(sys.argv[1])
path.touch(mode=0o600)
path.write_bytes(b'[' * {LEVELS} + b']' * {LEVELS})
try:
    _read_keystore(path, version=4)
except Refused as error:
    print("refused:", error)
"""


@pytest.mark.parametrize("code", [ENDPOINT, KEYSTORE], ids=["endpoint", "keystore"])
def test_an_answer_that_nests_without_end_does_not_end_the_process(tmp_path: Path, code: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", AS_A_WATCHER + code, str(tmp_path / "key.json")],
        capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("refused:")
