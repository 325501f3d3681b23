"""The pages for people hold where a machine can tell: links, commands, examples, no one machine's paths."""

from __future__ import annotations

import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.config import load_config, load_relay_config
from node.evaluate.policy import parse_policy

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [
        REPOSITORY / "README.md",
        *REPOSITORY.glob("docs/**/*.md"),
        *REPOSITORY.glob("deploy/**/*.md"),
        *REPOSITORY.glob("contracts/*.md"),
    ]
)

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
MAKE_TARGET = re.compile(r"\bmake ([a-z][a-z-]*)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
FILE_KEY = re.compile(r'^(?:http|ws)_file = "([^"]+)"', re.MULTILINE)
# Written in pieces, so that this file is not its own finding.
MACHINE_PATH = re.compile("(?<![A-Za-z0-9_.])/" + r"(?:work/(?:main|shared)|root/|tmp/scratch|home/[a-z])")
REGISTRY_HOST = re.compile(
    r"https?://[^\s\"'/]*(?:arti"
    + "factory|nex"
    + r"us|registry\.np"
    + "mjs|py"
    + r"pi\.org|pythonhos"
    + "ted)"
)


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Each fenced block of that language, with the name of its page."""
    for page in PAGES:
        for found, text in BLOCK.findall(page.read_text()):
            if found == language:
                yield name_of(page), text


def anchor_of(heading: str) -> str:
    """How a heading is linked to: lower case, letters and digits, spaces as hyphens."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_resolves(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), f"{name_of(page)} links to {target}, which does not exist"
        if anchor:
            anchors = {anchor_of(heading) for heading in HEADING.findall(linked.read_text())}
            assert anchor in anchors, f"{name_of(page)} links to #{anchor}; there are {sorted(anchors)}"


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    code = {page: "\n".join(re.findall(r"`+[^`]+`+", page.read_text())) for page in PAGES}

    named = {target for text in code.values() for target in MAKE_TARGET.findall(text)}

    assert {"demo", "test", "bench"} <= named, "the pattern finds nothing any more"
    assert named <= targets


def test_every_configuration_in_the_pages_loads(tmp_path: Path) -> None:
    configurations = dict(blocks("toml"))
    assert {"README.md", "docs/operators.md"} <= set(configurations)
    relay = tmp_path / "relay.toml"
    relay.write_text(textwrap.dedent(configurations.pop("docs/relay.md")))
    assert [chain.name for chain in load_relay_config(relay).chains] == ["mainnet", "optimism"]

    for page, text in configurations.items():
        for file in FILE_KEY.findall(text):
            (tmp_path / file).write_text("https://rpc.example.org/a-secret\n")
            (tmp_path / file).chmod(0o600)
        path = tmp_path / "config.toml"
        path.write_text(text)

        config = load_config(path)

        assert config.chains[0].agreement == 2, page
        assert len(config.chains[0].endpoints) == 3, page


def test_the_configuration_to_copy_is_the_same_in_both_pages() -> None:
    configurations = dict(blocks("toml"))

    assert configurations["README.md"] == configurations["docs/operators.md"]


def test_the_table_of_settings_names_every_key_of_the_configuration_to_copy() -> None:
    page = (REPOSITORY / "docs" / "operators.md").read_text()
    (example,) = [text for name, text in blocks("toml") if name == "docs/operators.md"]

    for key in re.findall(r"^(\w+) = ", example, re.MULTILINE):
        assert re.search(rf"^\| .*\b{key}`", page, re.MULTILINE), f"{key} has no row"


def test_every_policy_in_the_pages_parses() -> None:
    policies = [text for _, text in blocks("yaml")]
    assert policies

    for text in policies:
        policy = parse_policy(text.encode())

        assert policy.rules or policy.pending_rules


def test_the_index_names_every_page() -> None:
    index = REPOSITORY / "docs" / "README.md"
    linked = {(index.parent / target).resolve() for target in LINK.findall(index.read_text())}

    assert set((REPOSITORY / "docs").glob("*.md")) - {index} <= linked


def test_no_tracked_file_names_a_place_of_one_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        path = REPOSITORY / name
        if not path.is_file() or path.is_symlink():
            continue
        text = path.read_bytes().decode(errors="replace")
        found = MACHINE_PATH.search(text) or REGISTRY_HOST.search(text)
        assert found is None, f"{name} names {found.group() if found else ''}"
