"""What a mutant is: one small mistake in one line of Solidity or inline assembly.

Works on the text, with comments and strings blanked, so that every offset is that of the file. What does not
compile is sorted out by the compiler; what compiles to the same bytes is no mutant at all.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

COMMENT_OR_STRING = re.compile(
    r"""//[^\n]*|/\*.*?\*/|(?:\b(?:hex|unicode))?"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'""", re.DOTALL
)

# Longest first, so that `<=` is never read as `<`. Those without a replacement only protect their parts.
OPERATOR = re.compile(r"<<=|>>=|=>|->|:=|<<|>>|<=|>=|==|!=|&&|\|\||\+\+|--|[-+*/%&|^]=|\*\*|[-<>+*/%!&|^]")
COMPARISON = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
ARITHMETIC = {
    "+": "-", "-": "+", "*": "/", "/": "*", "%": "*", "+=": "-=", "-=": "+=", "<<": ">>", ">>": "<<",
    "&": "|", "|": "&", "^": "&",
}  # fmt: skip
BOOLEAN = {"&&": "||", "||": "&&", "!": ""}

# In assembly a comparison is widened or narrowed by what it is called with.
YUL_COMPARISON = {"lt": "iszero(gt({}))", "gt": "iszero(lt({}))", "eq": "iszero(eq({}))"}
YUL_ARITHMETIC = {"add": "sub", "sub": "add", "mul": "div", "div": "mul", "shl": "shr", "shr": "shl"}
YUL_BOOLEAN = {"and": "or", "or": "and"}
YUL_CALL = re.compile(r"\b(lt|gt|eq|iszero|add|sub|mul|div|shl|shr|and|or)\s*\(")

# Not the zero of a type, `address(0)`, and not what something is equal to: `x == 1` for `x == 0` says no more
# than `x != 0` does.
LITERAL = re.compile(r"(?<!address\()(?<!bytes\d\()(?<!bytes\d\d\()(?<![!=]= )(?<![\w.])\d[\d_]*(?![\w.])")
TRUTH = re.compile(r"\b(?:true|false)\b")
IF = re.compile(r"\bif\s*\(")
REVERT = re.compile(r"\s*(?:revert\b[^;]*;|\{\s*revert\b[^;]*;\s*\})(?!\s*else\b)")
REFUSAL = re.compile(r"(?<=[;{})])\s*((?:require\s*\(|revert\b|_(?:check|require|refuse)\w*\s*\()[^;]*;)")
HEADER = re.compile(r"\b(?:function|constructor|modifier|receive|fallback)\b[^;{}]*$")
MODIFIER = re.compile(r"\bmodifier\s+(\w+)")
GAS_CONSTANT = re.compile(r"\w*GAS\w*\s*=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One replacement in one file. `file` is relative to the contracts' folder, `line` counts from one."""

    file: str
    operator: str
    start: int
    before: str
    after: str
    line: int
    text: str  # the whole line, stripped: says where it is when line numbers have moved

    @property
    def name(self) -> str:
        """Short, and the same for the same mistake at the same place of the same file."""
        parts = (self.file, self.start, self.before, self.after)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:10]

    @property
    def change(self) -> str:
        return f"{' '.join(self.before.split())} → {' '.join(self.after.split()) or 'nothing'}"

    def apply(self, source: str) -> str:
        end = self.start + len(self.before)
        if source[self.start : end] != self.before:
            raise ValueError(f"{self.file} has changed: expected {self.before!r} at {self.start}")
        return source[: self.start] + self.after + source[end:]


def blank(source: str) -> str:
    """The source with comments and strings as spaces, at the same length."""
    return COMMENT_OR_STRING.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), source)


def find_modifiers(sources: list[str]) -> frozenset[str]:
    """Names of all modifiers that the sources declare."""
    return frozenset(name for source in sources for name in MODIFIER.findall(blank(source)))


def find_mutants(file: str, source: str, modifiers: frozenset[str]) -> list[Mutant]:
    """All mutants of one file, in its order."""
    code = blank(source)
    found: set[tuple[int, str, str, str]] = set()
    for start, end, kind in zones(code):
        if kind == "assembly":
            found.update(in_assembly(code, start, end))
        elif kind == "body":
            found.update(in_solidity(code, start, end))
        elif kind == "constant":
            found.update(in_constant(code, start, end))
        else:
            found.update(in_header(code, start, end, modifiers))
    mutants = []
    for start, operator, blanked, changed in sorted(found):
        # What was found in blanked code has its strings again.
        before = source[start : start + len(blanked)]
        after = changed.replace(blanked, before) if blanked else changed
        line = source.count("\n", 0, start) + 1
        text = source.splitlines()[line - 1].strip()
        mutants.append(
            Mutant(
                file=file, operator=operator, start=start, before=before, after=after, line=line, text=text
            )
        )
    return mutants


def zones(code: str) -> Iterator[tuple[int, int, str]]:
    """Where code runs: bodies of functions and assembly, their headers, initial values of constants."""
    kinds: list[str] = []
    begin = statement = 0
    for at, char in enumerate(code):
        if char == "{":
            before = code[statement:at]
            outer = kinds[-1] if kinds else ""
            if outer in ("body", "assembly"):
                yield begin, at, outer
                kinds.append("assembly" if re.search(r"\bassembly\b", before) else outer)
            elif HEADER.search(before):
                yield statement, at, "header"
                kinds.append("body")
            else:
                kinds.append("contract")
            begin = at
        elif char == "}":
            if kinds and (kind := kinds.pop()) in ("body", "assembly"):
                yield begin, at, kind
            begin = at
        elif char == ";" and kinds == ["contract"] and re.search(r"\bconstant\b", code[statement:at]):
            yield statement, at, "constant"
        if char in "{};":
            statement = at + 1


def in_solidity(code: str, start: int, end: int) -> Iterator[tuple[int, str, str, str]]:
    for found in OPERATOR.finditer(code, start, end):
        for operator, table in (("comparison", COMPARISON), ("arithmetic", ARITHMETIC), ("boolean", BOOLEAN)):
            if found[0] in table:
                yield found.start(), operator, found[0], table[found[0]]
    yield from literals(code, start, end)
    for found in TRUTH.finditer(code, start, end):
        yield found.start(), "boolean", found[0], "false" if found[0] == "true" else "true"
    # A block that only refuses lies beyond this zone, so the pattern may look further than `end`.
    for found in IF.finditer(code, start, end):
        close = matching(code, found.end() - 1)
        if refusal := REVERT.match(code, close + 1):
            yield found.start(), "refusal", code[found.start() : refusal.end()], ""
        elif not OPERATOR.search(code, found.end(), close):
            condition = code[found.end() : close]
            yield found.end(), "boolean", condition, f"!({condition})"
    for found in REFUSAL.finditer(code, start, end):
        # Behind `if (…)` the whole of it has gone already, with its block.
        if not re.search(r"\)\s*\{?\s*$", code[: found.start(1)]) or not found[1].startswith("revert"):
            yield found.start(1), "refusal", found[1], ""


def in_assembly(code: str, start: int, end: int) -> Iterator[tuple[int, str, str, str]]:
    for found in YUL_CALL.finditer(code, start, end):
        name, close = found[1], matching(code, found.end() - 1)
        arguments = code[found.end() : close]
        whole = code[found.start() : close + 1]
        if name in YUL_COMPARISON:
            yield found.start(), "comparison", whole, YUL_COMPARISON[name].format(arguments)
        elif name == "iszero":
            yield found.start(), "boolean", whole, f"add(0, {arguments})"
        elif name in YUL_BOOLEAN:
            yield found.start(1), "boolean", name, YUL_BOOLEAN[name]
        else:
            yield found.start(1), "arithmetic", name, YUL_ARITHMETIC[name]
    yield from literals(code, start, end)


def in_constant(code: str, start: int, end: int) -> Iterator[tuple[int, str, str, str]]:
    """Limits and floors. A gas limit that is off by one is no mistake that a test should find."""
    if not GAS_CONSTANT.search(code, start, end):
        yield from literals(code, code.index("=", start, end) if "=" in code[start:end] else end, end)


def in_header(
    code: str, start: int, end: int, modifiers: frozenset[str]
) -> Iterator[tuple[int, str, str, str]]:
    """A function without one of its modifiers."""
    opening = code.find("(", start, end)
    if opening < 0 or code[start:end].lstrip().startswith("modifier"):
        return
    for found in re.finditer(r"\b\w+\b", code[matching(code, opening) : end]):
        if found[0] in modifiers:
            at = matching(code, opening) + found.start()
            call = re.compile(r"\s*\(").match(code, at + len(found[0]))
            stop = matching(code, call.end() - 1) + 1 if call else at + len(found[0])
            yield at, "refusal", code[at:stop], ""


def literals(code: str, start: int, end: int) -> Iterator[tuple[int, str, str, str]]:
    for found in LITERAL.finditer(code, start, end):
        yield found.start(), "off by one", found[0], str(int(found[0].replace("_", "")) + 1)


def matching(code: str, opening: int) -> int:
    """Offset of the parenthesis that closes the one at `opening`."""
    depth = 0
    for at in range(opening, len(code)):
        depth += (code[at] == "(") - (code[at] == ")")
        if depth == 0:
            return at
    raise ValueError(f"no closing parenthesis for the one at {opening}")
