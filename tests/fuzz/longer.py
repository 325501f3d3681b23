"""Fuzzes each decoder with atheris, which is led by the branches that an input reaches.

    python -m tests.fuzz.longer --seconds 60 [--decoder NAME …]

prints a JSON line for each decoder and leaves with 1 where one raised what it may not, or gave a value a
second form; the input then stands in the line, in hex. `make prove` runs it. atheris lies apart from the
rest, in .venv-prove; a decoder has a process of its own, since libFuzzer never returns.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
PROVE = ".venv-prove/lib/python*/site-packages"
MOST_BYTES = 8_192
ONE_INPUT_SECONDS = 10  # longer than that for 8 KiB is a fault too
_EXECUTIONS = re.compile(r"#(\d+)\s+DONE|stat::number_of_executed_units:\s*(\d+)")
_COVERED = re.compile(r"cov: (\d+)")


def fuzz(name: str, seconds: int, corpus: Path) -> None:
    """Fuzz one decoder in this process; does not return."""
    for place in sorted(REPOSITORY.glob(PROVE)):
        sys.path.append(str(place))  # behind our own packages, of which it holds other versions
    import atheris

    with atheris.instrument_imports(include=["consensus", "node"]):
        from tests.fuzz.decoders import DECODERS
        from tests.fuzz.test_decoders import hold
    (decoder,) = [each for each in DECODERS if each.name == name]
    for number, seed in enumerate(decoder.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [
        sys.argv[0],
        str(corpus),
        f"-max_total_time={seconds}",
        f"-max_len={MOST_BYTES}",
        f"-timeout={ONE_INPUT_SECONDS}",
        f"-artifact_prefix={corpus.parent}/found-",
        "-print_final_stats=1",
    ]
    atheris.Setup(options, lambda data: hold(decoder, data))
    atheris.Fuzz()


def fuzz_apart(name: str, seconds: int) -> dict[str, Any]:
    """Fuzz one decoder in a process of its own; what came of it, for a JSON line."""
    with tempfile.TemporaryDirectory() as directory:
        corpus = Path(directory) / "corpus"
        corpus.mkdir()
        command = [sys.executable, "-m", "tests.fuzz.longer", "--inside", str(corpus), "--decoder", name]
        ended = subprocess.run(
            [*command, "--seconds", str(seconds)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        said = ended.stdout + ended.stderr
        counted = [int(a or b) for a, b in _EXECUTIONS.findall(said)]
        covered = [int(each) for each in _COVERED.findall(said)]
        found = sorted(Path(directory).glob("found-*"))
        return {
            "metric": "fuzz",
            "decoder": name,
            "seconds": seconds,
            "executions": max(counted, default=0),
            "branches": max(covered, default=0),
            "failed": ended.returncode != 0,
            "input": found[0].read_bytes().hex() if found else None,
            "said": said[-1_500:] if ended.returncode else None,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="for each decoder")
    parser.add_argument("--decoder", nargs="*", help="only these")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        fuzz(arguments.decoder[0], arguments.seconds, arguments.inside)
    from tests.fuzz.decoders import DECODERS

    known = [each.name for each in DECODERS]
    wanted = arguments.decoder or known
    if unknown := set(wanted) - set(known):
        parser.error(f"no such decoder: {sorted(unknown)}; there are {known}")
    lines = []
    for name in wanted:
        lines.append(fuzz_apart(name, arguments.seconds))
        print(json.dumps(lines[-1]), flush=True)
    print(
        json.dumps(
            {
                "metric": "fuzz",
                "decoders": len(lines),
                "executions": sum(line["executions"] for line in lines),
                "failed": [line["decoder"] for line in lines if line["failed"]],
            }
        )
    )
    sys.exit(any(line["failed"] for line in lines))


if __name__ == "__main__":
    main()
