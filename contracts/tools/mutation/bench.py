"""A bench: a copy of the contracts in which one mutant after the other is compiled and tested.

What makes a mutant cheap: forge alone takes 10 s for a mutant of the guardian, since every test contract
holds the bytes of the contracts that it deploys. Here forge compiles once, with the optimizer off and tests
that load what they deploy from the artifacts (`dynamic_test_linking`). A mutant then costs one call to a
compiler that stays warm, for those contracts alone whose bytes can change, and one run of forge over
artifacts that were overwritten: below one second, and a few where tests call a library directly. The
sources on disk never change, so forge has nothing to compile.

What it does not see: linked so, `vm.expectRevert(…); new X(…)` ends the whole test, and it counts as passed.
A test that goes on after a refused construction makes it by a call from outside (`this.constructWith(…)`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from results import CONTRACTS

COPIED = ("src", "test", "demo", "script", "examples", "tools", "foundry.toml", "remappings.txt")
UNTESTED = (
    "test/symbolic",  # what halmos proves; forge would run nothing there
    "test/verifier/Gas.t.sol",  # measures the release build, in which no mutant stands
)
BUILD_SECONDS = 600
TEST_SECONDS = 120
QUICK_SECONDS = 3.0
FIRST_TESTS = 1  # files; then three times as many, and so on
COMPILES_PER_PROCESS = 200  # the compiler's memory grows by some megabytes each time

# The compiler that stays warm: one line names the input file, the answer says where the output is.
SERVER = """
const fs = require("fs"), solc = require(process.argv[1]);
require("readline").createInterface({input: process.stdin}).on("line", (path) => {
  fs.writeFileSync(path + ".out", solc.compile(fs.readFileSync(path, "utf8")));
  console.log("done");
});
"""

# forge's compiler on the bench: keeps what it is asked and what it answered. With a filter, forge asks for
# all interfaces again at every run; the answer is always the same.
COMPILER = """#!/bin/sh
solc=$(dirname "$0")/tools/solcjs-native
case "$*" in *--standard-json*) ;; *) set -- --version ;; esac
[ "$1" = --version ] && cat /dev/null > "$0.asked.$$" || cat > "$0.asked.$$"
key=$(sha256sum < "$0.asked.$$" | cut -c1-32)
if [ ! -f "$0.$key" ]; then
  [ "$1" = --version ] || cp "$0.asked.$$" "$0.last"
  "$solc" "$@" < "$0.asked.$$" > "$0.new.$$" && mv "$0.new.$$" "$0.$key"
fi
rm "$0.asked.$$"
cat "$0.$key"
"""

# A test's name follows upon the word; that of an invariant, below the sequence that broke it.
FAILING_SUITE = re.compile(
    r"^Encountered \d+ failing tests? in ([^\s:]+):\w+\n(.*?)(?:^\n|\Z)", re.MULTILINE | re.DOTALL
)
DURATION = re.compile(
    r"^Ran \d+ tests? for ([^\s:]+):\w+\n(?:.*\n)*?Suite result: .*\(([\d.]+)([mµn]?s) CPU time\)",
    re.MULTILINE,
)
TEST = re.compile(r"^\s*function ((?:test|invariant)\w*)\(", re.MULTILINE)
SECONDS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
FAILURE = re.compile(r"^(?:\[FAIL.*\])? (\w+)\([^\n]*\) \((?:gas|runs):", re.MULTILINE)

Bytes = dict[str, Any]  # `bytecode` and `deployedBytecode` of one contract, as solc gives them


class BenchError(Exception):
    """The bench itself does not work; says nothing about a mutant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One contract: where its bytes lie below the bench, and the sources whose code stands in them."""

    source: str
    name: str
    path: str
    sources: frozenset[str]


@dataclass(slots=True)
class Compiler:
    """The warm compiler of one bench."""

    folder: Path
    process: subprocess.Popen[str] | None = None
    compiles: int = 0

    def compile(self, standard_input: dict[str, Any]) -> dict[str, Any]:
        if self.compiles >= COMPILES_PER_PROCESS:
            self.close()
        if self.process is None:
            solc = str(self.folder / "node_modules" / "solc")
            self.process = subprocess.Popen(
                ["node", "--stack-size=8000", "-e", SERVER, solc],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=self.folder,
            )  # fmt: skip
            self.compiles = 0
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        path = self.folder / "mutant.json"
        path.write_text(json.dumps(standard_input))
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        self.compiles += 1
        if self.process.stdout.readline() != "done\n":
            self.close()
            raise BenchError("the compiler died")
        answer: dict[str, Any] = json.loads(Path(f"{path}.out").read_text())
        return answer

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class Bench:
    """One copy of the contracts: `prepare`, then `compile`, `install`, `run_tests`, `restore` per mutant."""

    folder: Path
    input: dict[str, Any] = field(default_factory=dict)
    imports: dict[str, frozenset[str]] = field(default_factory=dict)
    artifacts: list[Artifact] = field(default_factory=list)
    original: dict[str, str] = field(default_factory=dict)
    found: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many mistakes each test file has found, by the file that they were in, and in all ("")."""
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each test file takes without a mistake."""
    compiler: Compiler = field(init=False)

    def __post_init__(self) -> None:
        self.compiler = Compiler(self.folder)

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "FOUNDRY_PROFILE": "mutate",
            "FOUNDRY_SOLC": str(self.folder / "compiler"),
            "FOUNDRY_OUT": "out",
            "FOUNDRY_CACHE_PATH": "cache",
            "FOUNDRY_DYNAMIC_TEST_LINKING": "true",
            # A quarter of what `make test` does: a mistake that only long luck finds counts as not found.
            "FOUNDRY_FUZZ_RUNS": "64",
            "FOUNDRY_INVARIANT_RUNS": "8",
        }

    # ---- once

    def prepare(self) -> None:
        """Copies, compiles and tests what is not mutated. Raises BenchError where a test fails."""
        copy_contracts(CONTRACTS, self.folder, [name for name in COPIED if (CONTRACTS / name).exists()])
        for name in UNTESTED:
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        compiler = self.folder / "compiler"
        compiler.write_text(COMPILER)
        compiler.chmod(0o755)

        failures = self._forge([], BUILD_SECONDS)
        if failures:
            names = ", ".join(name for _, name in failures)
            raise BenchError(f"the tests fail without any mutant: {names}")
        self.input = json.loads((self.folder / "compiler.last").read_text())
        self._read_baseline()

    def twin(self, folder: Path) -> Bench:
        """A second bench, ready as this one is."""
        copied = [each.name for each in self.folder.iterdir() if each.name != "node_modules"]
        other = Bench(
            folder, self.input, self.imports, self.artifacts, self.original, self.found, self.seconds
        )
        copy_contracts(self.folder, folder, copied)
        return other

    def _read_baseline(self) -> None:
        """Compiles all once more for what forge does not keep, and compares the bytes with forge's own."""
        paths = frozenset(self.input["sources"])
        answer = self._solc(paths, {path: ["*"] for path in paths}, ast=True)
        self.imports = imports_of(answer)
        names = {entry["id"]: path for path, entry in answer["sources"].items()}
        compiled = {
            (path, name): contract["evm"]
            for path, contracts in answer["contracts"].items()
            for name, contract in contracts.items()
            if contract["evm"]["bytecode"]["object"]  # no interface, not abstract
        }
        self.artifacts = []
        for (path, name), evm in compiled.items():
            artifact = self._artifact_of(path, name)
            code = evm["bytecode"]["object"]
            if artifact is None or json.loads((self.folder / artifact).read_text())["bytecode"]["object"] != (
                f"0x{code}"
            ):
                raise BenchError(f"{name} does not compile to what forge made of it")
            sources = sources_of(evm, names) | {path}
            if not path.startswith("test/"):
                # Small and quickly compiled: rather one too often. Tests are large.
                sources |= self.imports[path]
            for (other, other_name), part in compiled.items():
                if other != path and part["bytecode"]["object"] in code:
                    sources |= self.imports[other] | {other}
                elif other_name != name and part["bytecode"]["object"] in code:
                    sources |= sources_of(part, names)
            self.artifacts.append(Artifact(source=path, name=name, path=artifact, sources=frozenset(sources)))
        self.original = {each.path: (self.folder / each.path).read_text() for each in self.artifacts}

    def _artifact_of(self, path: str, name: str) -> str | None:
        """Where forge keeps a contract, by the table in its cache: version and profile stand in between."""
        listed = json.loads((self.folder / "cache" / "solidity-files-cache.json").read_text())["files"]
        for versions in listed[path]["artifacts"].get(name, {}).values():
            for artifact in versions.values():
                return f"out/{artifact['path']}"
        return None

    # ---- per mutant

    def tests_of(self, file: str) -> Iterator[list[str]]:
        """Test files that can notice a change in `file`: first a few, then ever more at once. Quick ones come
        first; of those, what has found mistakes in this file, then its room, then the rooms that use it most.

        Most of a mutant's time goes into compiling what its tests hold, and one test kills it.
        """
        users = Counter(
            path.split("/")[1]
            for path, imports in self.imports.items()
            if path.startswith("src/") and file in imports
        )
        own = file.split("/")[1]

        def rank(path: str) -> tuple[object, ...]:
            room = path.split("/")[1]
            is_slow = self.seconds.get(path, 0.0) > QUICK_SECONDS
            return (is_slow, -self.found[file, path], room != own, -users[room], -self.found["", path], path)

        reaching = [
            path for path, imports in self.imports.items() if path.endswith(".t.sol") and file in imports
        ]
        reaching.sort(key=rank)
        size = FIRST_TESTS
        while reaching:
            yield reaching[:size]
            reaching = reaching[size:]
            size *= 3

    def remember(self, file: str, test: str) -> None:
        """A test of this name found a mistake in `file`, in an earlier run."""
        for path in self.files_of_tests.get(test, ()):
            self.found[file, path] += 1
            self.found["", path] += 1

    @cached_property
    def files_of_tests(self) -> dict[str, list[str]]:
        """Where the tests of each name stand."""
        files: dict[str, list[str]] = {}
        for path in self.imports:
            if path.endswith(".t.sol"):
                for name in TEST.findall((self.folder / path).read_text()):
                    files.setdefault(name, []).append(path)
        return files

    def compile(self, file: str, source: str, tests: list[str]) -> dict[Artifact, Bytes] | None:
        """The contracts that `tests` may touch and that hold code of `file`; None: it does not compile."""
        reach = frozenset().union(*(self.imports[path] | {path} for path in tests))
        affected = [each for each in self.artifacts if file in each.sources and each.source in reach]
        if not affected:
            return {}
        needed = frozenset().union(*(self.imports[each.source] | {each.source} for each in affected))
        wanted: dict[str, list[str]] = {}
        for each in affected:
            wanted.setdefault(each.source, []).append(each.name)
        answer = self._solc(needed, wanted, replaced={file: source})
        if any(error["severity"] == "error" for error in answer.get("errors", ())):
            return None
        return {each: answer["contracts"][each.source][each.name]["evm"] for each in affected}

    def install(self, compiled: dict[Artifact, Bytes]) -> bool:
        """Overwrites the artifacts; False where that changes nothing."""
        is_changed = False
        for artifact, evm in compiled.items():
            content = json.loads(self.original[artifact.path])
            for part in ("bytecode", "deployedBytecode"):
                code = f"0x{evm[part]['object']}"
                is_changed |= content[part]["object"] != code
                content[part]["object"] = code
                content[part]["linkReferences"] = evm[part].get("linkReferences", {})
            (self.folder / artifact.path).write_text(json.dumps(content))
        return is_changed

    def restore(self, compiled: dict[Artifact, Bytes]) -> None:
        for artifact in compiled:
            (self.folder / artifact.path).write_text(self.original[artifact.path])
        # Inputs that killed one mutant must not be tried on the next.
        for name in ("fuzz", "invariant", "test-failures"):
            shutil.rmtree(self.folder / "cache" / name, ignore_errors=True)

    def run_tests(self, file: str, tests: list[str]) -> list[str]:
        """Names of the tests that fail; forge stops at the first. One that takes too long has failed."""
        paths = tests[0] if len(tests) == 1 else "{" + ",".join(tests) + "}"
        failures = self._forge(["--fail-fast", "--match-path", paths], TEST_SECONDS)
        for suite in {suite for suite, _ in failures}:
            self.found[file, suite] += 1
            self.found["", suite] += 1
        return [name for _, name in failures]

    # ---- internals

    def _forge(self, arguments: list[str], seconds: float) -> list[tuple[str, str]]:
        """File and name of each test that fails."""
        command = [str(self.folder / "tools" / "forge"), "test", "--fuzz-seed", "0x1", *arguments]
        with subprocess.Popen(
            command, cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        ) as process:  # fmt: skip
            try:
                output, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return [("", "too slow")]
        for suite, time, unit in DURATION.findall(output):
            if process.returncode == 0 and not arguments:
                self.seconds[suite] = self.seconds.get(suite, 0.0) + float(time) * SECONDS[unit]
        if process.returncode == 0:
            return []
        failures = [
            (suite, name)
            for suite, those in FAILING_SUITE.findall(output)
            for name in sorted(set(FAILURE.findall(those)))
        ] or [("", name) for name in sorted(set(FAILURE.findall(output)))]
        if not failures:
            raise BenchError(f"forge says neither yes nor no: {output[-2000:]}")
        return failures

    def _solc(
        self,
        sources: frozenset[str],
        wanted: dict[str, list[str]],
        *,
        replaced: dict[str, str] | None = None,
        ast: bool = False,
    ) -> dict[str, Any]:
        outputs = ["evm.bytecode.object", "evm.bytecode.linkReferences"]
        outputs += ["evm.deployedBytecode.object", "evm.deployedBytecode.linkReferences"]
        if ast:
            outputs += ["evm.bytecode.sourceMap", "evm.deployedBytecode.sourceMap"]
        selection: dict[str, dict[str, list[str]]] = {}
        for path, names in wanted.items():
            selection[path] = dict.fromkeys(names, outputs) | ({"": ["ast"]} if ast else {})
        contents = {path: self.input["sources"][path] for path in sorted(sources)}
        contents |= {path: {"content": text} for path, text in (replaced or {}).items()}
        settings = self.input["settings"] | {"outputSelection": selection}
        return self.compiler.compile({"language": "Solidity", "sources": contents, "settings": settings})


def copy_contracts(origin: Path, folder: Path, names: Iterable[str]) -> None:
    """What is named of `origin`, its packages, and the vectors beside `folder`; all else beside it goes."""
    shutil.rmtree(folder.parent, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in names:
        if (origin / name).is_dir():
            shutil.copytree(origin / name, folder / name)
        else:
            shutil.copy2(origin / name, folder / name)
    # Hard links: solc refuses what it finds through a symbolic one outside its folder.
    modules = folder / "node_modules"
    shutil.copytree(origin / "node_modules", modules, copy_function=os.link, symlinks=True)
    shutil.copytree(CONTRACTS.parent / "tests" / "vectors", folder.parent / "tests" / "vectors")


def imports_of(answer: dict[str, Any]) -> dict[str, frozenset[str]]:
    """All that each source imports, however far away, by the compiler's syntax trees."""
    direct = {
        path: {node["absolutePath"] for node in entry["ast"]["nodes"] if "absolutePath" in node}
        for path, entry in answer["sources"].items()
    }
    return {path: closure(path, direct) for path in direct}


def closure(path: str, direct: dict[str, set[str]]) -> frozenset[str]:
    """All that `path` imports, however far away."""
    reached: set[str] = set()
    waiting = [path]
    while waiting:
        for imported in direct[waiting.pop()] - reached:
            reached.add(imported)
            waiting.append(imported)
    return frozenset(reached)


def sources_of(evm: dict[str, Any], names: dict[int, str]) -> set[str]:
    """Sources whose code stands in the bytes, by the compiler's map: `start:length:source:jump` per step."""
    found: set[str] = set()
    for part in ("bytecode", "deployedBytecode"):
        for step in evm[part]["sourceMap"].split(";"):
            fields = step.split(":")
            if len(fields) > 2 and fields[2] not in ("", "-1") and int(fields[2]) in names:
                found.add(names[int(fields[2])])
    return found
