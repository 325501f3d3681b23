"""Writes docs/reasons.md from the one table: `python -m tests.render_reasons > docs/reasons.md`."""

from consensus.errors import Reason

HEAD = """# What does a `reason` in a log line mean?

Each refusal, and each `unknown`, carries one of these codes: as the key `reason` of a log line, and at the
start of the message that a command ends with. The message beside it says what was expected, what came and
what to do next.

This page is written by `python -m tests.render_reasons > docs/reasons.md` from `consensus/errors.py`; a test
compares the two. Change the table there.

| reason | meaning |
|---|---|
"""


def render_reasons() -> str:
    """The page, with a row for each reason in the order of the table."""
    return HEAD + "".join(f"| `{reason.value}` | {reason.explanation} |\n" for reason in Reason)


if __name__ == "__main__":
    print(render_reasons(), end="")
