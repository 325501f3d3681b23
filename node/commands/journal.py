"""`tocsin journal`: export, import and check the signing journal of a watcher or signer that is stopped."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from node.commands.edge import EXIT_REFUSED, JSON_OPTION, run_guarded, say

JOURNAL_OPTION = click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("data/journal.sqlite"),
    show_default=True,
    help="The journal; whoever signs with it must be stopped.",
)


@click.group("journal")
def journal_command() -> None:
    """Move, back up and check the signing journal. Only while the watcher is stopped."""


@journal_command.command("export")
@JOURNAL_OPTION
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file to write; it must not exist.",
)
@JSON_OPTION
def export_command(journal: Path, to: Path, as_json: bool) -> None:
    """Write every row and watermark to a text file with a hash over all of it."""
    from node.attest.interchange import export_journal

    exported = run_guarded(lambda: export_journal(journal, to))
    say(
        as_json,
        {
            "file": str(to),
            "public_key": _hex(exported.public_key.to_bytes()),
            "rows": exported.rows,
            "sha256": _hex(exported.sha256),
        },
        f"exported  {exported.rows} rows to {to}\n"
        f"sha256    {_hex(exported.sha256)}\n"
        "It is worth something as long as nothing is signed after it.",
    )


@journal_command.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@JOURNAL_OPTION
@click.option("--create", is_flag=True, help="Make the journal first, for the key that the file names.")
@JSON_OPTION
def import_command(file: Path, journal: Path, create: bool, as_json: bool) -> None:
    """Merge an exported file: rows are added, watermarks rise, nothing is ever taken away.

    Afterwards nothing new is signed up to the highest block of either, nor up to the head at the next start.
    """
    from node.attest.interchange import import_journal

    imported = run_guarded(lambda: import_journal(file, journal, create=create))
    watermarks = {str(chain_id): number for chain_id, number in imported.watermarks.items()}
    say(
        as_json,
        {
            "journal": str(journal),
            "public_key": _hex(imported.public_key.to_bytes()),
            "added": imported.added,
            "known": imported.known,
            "watermarks": watermarks,
        },
        f"imported  {imported.added} rows; {imported.known} were known\n"
        + "".join(
            f"chain {chain_id}: signs above block {number}\n" for chain_id, number in watermarks.items()
        )
        + "Next: tocsin journal check, then start the watcher here, and never again where it was.",
    )


@journal_command.command("check")
@JOURNAL_OPTION
@JSON_OPTION
def check_command(journal: Path, as_json: bool) -> None:
    """Read every row, and say what is wrong and what to do.

    \b
    Exit codes:
      0  every row is sound; notes may say that the journal is careful
      2  it is not to be used
    """
    from node.attest.checkup import check_journal

    found = run_guarded(lambda: check_journal(journal))
    told: dict[str, Any] = {
        "public_key": _hex(found.public_key.to_bytes()),
        "rows": found.rows,
        "handovers": found.handovers,
        "highest": {str(chain_id): number for chain_id, number in found.highest.items()},
        "watermarks": {str(chain_id): number for chain_id, number in found.watermarks.items()},
        "faults": [{"what": each.what, "do": each.do} for each in found.faults],
        "notes": [{"what": each.what, "do": each.do} for each in found.notes],
    }
    lines = [f"{found.rows} rows, {found.handovers} of them handovers"]
    lines += [f"chain {chain_id}: highest block {number}" for chain_id, number in told["highest"].items()]
    lines += [f"note   {each.what}\n       → {each.do}" for each in found.notes]
    lines += [f"FAULT  {each.what}\n       → {each.do}" for each in found.faults]
    lines += [] if found.faults else ["every row is sound"]
    say(as_json, told, "\n".join(lines))
    if found.faults:
        sys.exit(EXIT_REFUSED)


def _hex(raw: bytes) -> str:
    return f"0x{raw.hex()}"
