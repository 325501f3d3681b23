"""Integer expressions over signals: the one language in which a policy states when a rule is true.

Python's grammar is used to read the text, an allow-list to turn it into our own small tree, and nothing of
Python to compute it: every value is an integer of at most 2**512 in magnitude, every expression has a
static type (integer or condition), and what has no value (a reverted call, a division by zero) makes the
whole expression undefined, never true or false.

Windows look over the last blocks, the one under evaluation included: `sum(outflow, 50)`, `highest(price,
10)`, `count(spot * 100 > twap * 105, 12) >= 8`. What they cost is counted when the text is read: a window
over n blocks costs n times its inside.

Evaluation goes from left to right and stops where `and`/`or` are decided, so that a guard protects what
follows it: `supply > 0 and debt * 100 // supply > 80` is false, not undefined, while there is no supply.

This module knows nothing of chains: the caller brings a value for each `Read`.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Final

from consensus.errors import Reason, Refused
from node.evaluate.problems import did_you_mean

MAX_EXPRESSION_CHARACTERS: Final = 2_048
MAX_EXPRESSION_NODES: Final = 256
MAX_EXPRESSION_DEPTH: Final = 64
MAX_BLOCKS_AGO: Final = 300
"""An hour of Ethereum's blocks."""
MAX_EXPRESSION_COST: Final = 4_096
"""Parts, with those inside a window counted once for each of its blocks."""
# One uint256 times another fits; a chain of products that outgrows it is a mistake in the policy, and
# unbounded integers would let one rule take a watcher's whole time.
MAX_MAGNITUDE: Final = 2**512

WHOLE_BPS: Final = 10_000

FUNCTIONS: Final = ("abs", "min", "max", "bps", "prev", "sum", "highest", "lowest", "count")
_WINDOWS: Final = ("sum", "highest", "lowest", "count")
_MOST_NAMED: Final = 16
_LANGUAGE: Final = f"an expression has integers, signals, operators and the functions {', '.join(FUNCTIONS)}"


class Arithmetic(Enum):
    """The operators that take two integers and give one."""

    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    FLOOR_DIVIDE = "//"
    REMAINDER = "%"


class Comparison(Enum):
    """The operators that take two integers and give a condition."""

    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="
    EQUAL = "=="
    UNEQUAL = "!="


class Connective(Enum):
    """The operators that join conditions."""

    AND = "and"
    OR = "or"


class Choice(Enum):
    """The functions that take integers and give one."""

    ABS = "abs"
    MIN = "min"
    MAX = "max"


class Fold(Enum):
    """The functions that take an integer at each of the last blocks and give one."""

    SUM = "sum"
    HIGHEST = "highest"
    LOWEST = "lowest"


@dataclass(frozen=True, slots=True)
class Undefined:
    """Why something has no value. A fact of the chain at that block, the same for every watcher."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, order=True)
class Read:
    """The value of a signal, `blocks_ago` blocks before the block under evaluation (0: at that block)."""

    signal: str
    blocks_ago: int = 0


@dataclass(frozen=True, slots=True)
class Literal:
    value: int


@dataclass(frozen=True, slots=True)
class Negate:
    operand: Term


@dataclass(frozen=True, slots=True)
class Compute:
    operator: Arithmetic
    left: Term
    right: Term


@dataclass(frozen=True, slots=True)
class Choose:
    function: Choice
    arguments: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class BasisPoints:
    """`part * 10_000 // whole`: rounded down, and undefined where the whole is 0."""

    part: Term
    whole: Term


@dataclass(frozen=True, slots=True)
class Over:
    """What `function` makes of the term at the last `blocks` blocks, this one included."""

    function: Fold
    term: Term
    blocks: int


@dataclass(frozen=True, slots=True)
class Count:
    """At how many of the last `blocks` blocks, this one included, the condition holds."""

    condition: Condition
    blocks: int


@dataclass(frozen=True, slots=True)
class Compare:
    operator: Comparison
    left: Term
    right: Term


@dataclass(frozen=True, slots=True)
class Not:
    operand: Condition


@dataclass(frozen=True, slots=True)
class Join:
    connective: Connective
    conditions: tuple[Condition, ...]


Term = Literal | Read | Negate | Compute | Choose | BasisPoints | Over | Count
Condition = Compare | Not | Join


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong at a column of an expression, counted from 1."""

    column: int
    message: str


class ExpressionRefused(Refused):
    """A text outside the language (EXPRESSION_INVALID), with all that was found wrong in it."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__(Reason.EXPRESSION_INVALID, f"column {faults[0].column}: {faults[0].message}")
        self.faults = faults

    def __reduce__(self) -> tuple[type[ExpressionRefused], tuple[tuple[Fault, ...]]]:  # type: ignore[override]
        return type(self), (self.faults,)


# ---------------------------------------------------------------------- reading the text


def parse_condition(text: str, *, signals: Collection[str]) -> Condition:
    """The condition that `text` states. Raises `ExpressionRefused`, naming the column."""
    return _Reader(text, signals=signals).condition()


_ARITHMETIC: Final[dict[type[ast.operator], Arithmetic]] = {
    ast.Add: Arithmetic.ADD,
    ast.Sub: Arithmetic.SUBTRACT,
    ast.Mult: Arithmetic.MULTIPLY,
    ast.FloorDiv: Arithmetic.FLOOR_DIVIDE,
    ast.Mod: Arithmetic.REMAINDER,
}
_COMPARISONS: Final[dict[type[ast.cmpop], Comparison]] = {
    ast.Lt: Comparison.LESS,
    ast.LtE: Comparison.AT_MOST,
    ast.Gt: Comparison.GREATER,
    ast.GtE: Comparison.AT_LEAST,
    ast.Eq: Comparison.EQUAL,
    ast.NotEq: Comparison.UNEQUAL,
}
_INSTEAD: Final[dict[type[ast.AST], str]] = {
    ast.Div: "`/` would give a fraction; write `//`, which rounds down",
    ast.Pow: "`**` is not in the language; write the number out, as 10_000",
    ast.LShift: "`<<` is not in the language; write a multiplication",
    ast.RShift: "`>>` is not in the language; write `//`",
    ast.BitAnd: "`&` is not in the language; write `and` between two comparisons",
    ast.BitOr: "`|` is not in the language; write `or` between two comparisons",
    ast.BitXor: "`^` is not in the language; write `!=`",
    ast.Invert: "`~` is not in the language; write `not` before a comparison",
    ast.In: "`in` is not in the language; write `x == a or x == b`",
    ast.NotIn: "`not in` is not in the language; write `x != a and x != b`",
    ast.Is: "`is` is not in the language; write `==`",
    ast.IsNot: "`is not` is not in the language; write `!=`",
    ast.IfExp: "`if … else` is not in the language; write `(a and b) or (not a and c)`",
    ast.Attribute: "a name has no parts here; declare the call as a signal and write the signal's name",
    ast.Subscript: "`[…]` is not in the language; for an earlier block write `prev(signal, 3)`",
    ast.Lambda: "functions cannot be defined here; write an integer expression over the policy's signals",
}


class _Reader:
    """Turns one text into one tree; counts nodes and depth as it goes."""

    def __init__(self, text: str, *, signals: Collection[str]) -> None:
        self._signals = signals
        self._nodes = self._cost = 0
        self._window = 1  # how many blocks the part that is being read is looked at
        self._faults: list[Fault] = []  # those that do not keep the rest from being read
        if len(text) > MAX_EXPRESSION_CHARACTERS:
            raise _refusal(
                MAX_EXPRESSION_CHARACTERS + 1,
                f"at most {MAX_EXPRESSION_CHARACTERS} characters are read, this has {len(text)}; "
                "split it into several rules",
            )
        for position, character in enumerate(text):
            # Python folds look-alike letters of other scripts into one name, and drops what follows a '#'.
            if character not in " \t\n" and not "!" <= character <= "~":
                raise _refusal(position + 1, f"{character!r} is not an ASCII character; retype it")
            if character in "#\\\"'`@;$?":
                raise _refusal(
                    position + 1,
                    f"{character!r} is not in the language; {_LANGUAGE}",
                )
        self._text = text.replace("\n", " ").replace("\t", " ")

    def condition(self) -> Condition:
        stripped = self._text.strip()  # leading blanks would be an indentation to Python
        try:
            tree = ast.parse(stripped, mode="eval")
        except SyntaxError as error:
            raise _refusal(
                min(error.offset or len(stripped) + 1, len(stripped) + 1),
                f"this does not read as an expression ({error.msg}); write for example `shares > 0 and "
                "assets * 10_000 // shares < 9_900`",
            ) from None
        except (RecursionError, MemoryError):  # how deep Python itself reads differs by release
            raise _refusal(1, f"nested too deeply; stay below {MAX_EXPRESSION_DEPTH} levels") from None
        try:
            condition = self._condition(tree.body, depth=1)
        except ExpressionRefused as refused:
            raise ExpressionRefused((*self._faults, *refused.faults)) from None
        if self._faults:
            raise ExpressionRefused(tuple(self._faults))
        return condition

    def _condition(self, node: ast.expr, *, depth: int) -> Condition:
        self._count(node, depth=depth)
        match node:
            case ast.BoolOp():
                connective = Connective.AND if isinstance(node.op, ast.And) else Connective.OR
                return Join(
                    connective, tuple(self._condition(value, depth=depth + 1) for value in node.values)
                )
            case ast.UnaryOp(op=ast.Not()):
                return Not(self._condition(node.operand, depth=depth + 1))
            case ast.Compare():
                return self._comparison(node, depth=depth)
            case ast.Constant(value=bool()):
                raise _refusal(
                    _column(node), f"a constant decides nothing; write a comparison instead of {node.value!r}"
                )
            case ast.IfExp() | ast.Attribute() | ast.Subscript() | ast.Lambda():
                raise self._refusal_of(node)
            case ast.BinOp() if type(node.op) not in _ARITHMETIC:
                raise self._refusal_of(node.op, at=node)
            case _:
                self._term(node, depth=depth)  # what is not even an integer gets its own message
                raise _refusal(
                    _column(node),
                    "an integer stands where a condition is needed; compare it, for example `… > 0`",
                )

    def _comparison(self, node: ast.Compare, *, depth: int) -> Compare:
        if len(node.ops) != 1:
            raise _refusal(
                _column(node.comparators[1]),
                "comparisons are not chained; write `a < b and b < c` instead of `a < b < c`",
            )
        operator = _COMPARISONS.get(type(node.ops[0]))
        if operator is None:
            raise self._refusal_of(node.ops[0], at=node)
        left = self._term(node.left, depth=depth + 1)
        right = self._term(node.comparators[0], depth=depth + 1)
        return Compare(operator, left, right)

    def _term(self, node: ast.expr, *, depth: int) -> Term:
        self._count(node, depth=depth)
        match node:
            case ast.Constant():
                return self._literal(node)
            case ast.Name():
                return self._signal(node)
            case ast.UnaryOp(op=ast.USub()):
                return Negate(self._term(node.operand, depth=depth + 1))
            case ast.UnaryOp(op=ast.UAdd()):
                raise _refusal(_column(node), "`+` has nothing to its left; write the number without it")
            case ast.UnaryOp(op=ast.Invert()):
                raise self._refusal_of(node.op, at=node)
            case ast.BinOp():
                operator = _ARITHMETIC.get(type(node.op))
                if operator is None:
                    self._faults.extend(self._refusal_of(node.op, at=node).faults)
                left = self._term(node.left, depth=depth + 1)
                right = self._term(node.right, depth=depth + 1)
                return Compute(
                    operator or Arithmetic.ADD, left, right
                )  # the fault above is raised in the end
            case ast.Call():
                return self._call(node, depth=depth)
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                raise _refusal(
                    _column(node),
                    "a condition stands where an integer is needed; join conditions with and, or, not",
                )
            case _:
                raise self._refusal_of(node)

    def _literal(self, node: ast.Constant) -> Literal:
        if type(node.value) is not int:
            raise _refusal(
                _column(node),
                f"{node.value!r} is not an integer; scale to whole units, for example basis points: "
                "`a * 10_000 >= b * 9_950` for 99.5 %",
            )
        if node.value > MAX_MAGNITUDE:
            raise _refusal(
                _column(node), "a number is at most 2**512; this one is larger than any value on a chain"
            )
        return Literal(node.value)

    def _signal(self, node: ast.Name, *, blocks_ago: int = 0) -> Read:
        if node.id in FUNCTIONS:
            raise _refusal(_column(node), f"{node.id} is a function; write {node.id}(…)")
        if node.id not in self._signals:
            near = did_you_mean(node.id, self._signals)
            known = ", ".join(sorted(self._signals)[:_MOST_NAMED]) or "none yet"
            advice = near or f": declare it under `signals:` (known: {known})"
            self._faults.append(Fault(_column(node), f"no signal is called {node.id!r}{advice}"))
        return Read(node.id, blocks_ago)

    def _call(self, node: ast.Call, *, depth: int) -> Term:
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name not in FUNCTIONS:
            raise _refusal(
                _column(node),
                f"the functions are {', '.join(FUNCTIONS)}{did_you_mean(name or '', FUNCTIONS)}; declare a "
                "contract's call as a signal",
            )
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise _refusal(
                _column(node), f"{name} takes plain arguments; write them in order, separated by commas"
            )
        if name == "prev":
            return self._previous(node, depth=depth)
        if name in _WINDOWS:
            return self._over(node, name, depth=depth)
        if name == "bps":
            if len(node.args) != 2:
                raise _refusal(_column(node), f"bps takes a part and a whole, {len(node.args)} came")
            part, whole = (self._term(argument, depth=depth + 1) for argument in node.args)
            return BasisPoints(part, whole)
        wanted = "one argument" if name == "abs" else "two or more arguments"
        if (name == "abs") != (len(node.args) == 1) or not node.args:
            raise _refusal(_column(node), f"{name} takes {wanted}, {len(node.args)} came")
        return Choose(Choice(name), tuple(self._term(argument, depth=depth + 1) for argument in node.args))

    def _previous(self, node: ast.Call, *, depth: int) -> Read:
        if len(node.args) != 2 or not isinstance(node.args[0], ast.Name):
            raise _refusal(
                _column(node), "prev takes a signal's name and a number of blocks; write `prev(signal, 3)`"
            )
        for argument in node.args:
            self._count(argument, depth=depth + 1)
        blocks = self._blocks(node.args[1], "prev looks", "prev(signal, 3)")
        if blocks + self._window - 1 > MAX_BLOCKS_AGO:
            raise _refusal(
                _column(node),
                f"with the window around it this looks {blocks + self._window - 1} blocks back, at most "
                f"{MAX_BLOCKS_AGO}; take a shorter window",
            )
        return self._signal(node.args[0], blocks_ago=blocks)

    def _over(self, node: ast.Call, name: str, *, depth: int) -> Term:
        example = f"{name}({'x > 5' if name == 'count' else 'signal'}, 50)"
        if len(node.args) != 2:
            raise _refusal(
                _column(node), f"{name} takes what to look at and a number of blocks; write `{example}`"
            )
        if self._window > 1:
            raise _refusal(_column(node), "a window within a window is not in the language; use one of them")
        self._count(node.args[1], depth=depth + 1)
        blocks = self._blocks(node.args[1], f"{name} looks over", example)
        self._window = blocks
        try:
            if name == "count":
                return Count(self._condition(node.args[0], depth=depth + 1), blocks)
            return Over(Fold(name), self._term(node.args[0], depth=depth + 1), blocks)
        finally:
            self._window = 1

    def _blocks(self, node: ast.expr, says: str, example: str) -> int:
        is_count = isinstance(node, ast.Constant) and type(node.value) is int
        if not is_count or not 1 <= node.value <= MAX_BLOCKS_AGO:  # type: ignore[attr-defined]
            raise _refusal(
                _column(node),
                f"{says} 1 to {MAX_BLOCKS_AGO} blocks, written as a plain number: `{example}`",
            )
        return int(node.value)  # type: ignore[attr-defined]

    def _count(self, node: ast.expr, *, depth: int) -> None:
        self._nodes += 1
        self._cost += self._window
        if self._cost > MAX_EXPRESSION_COST:
            raise _refusal(
                _column(node),
                f"an expression costs at most {MAX_EXPRESSION_COST} parts, those in a window counted for "
                "each of its blocks; take a shorter window, or split it into rules",
            )
        if self._nodes > MAX_EXPRESSION_NODES:
            raise _refusal(
                _column(node), f"an expression has at most {MAX_EXPRESSION_NODES} parts; split it into rules"
            )
        if depth > MAX_EXPRESSION_DEPTH:
            raise _refusal(
                _column(node), f"nested deeper than {MAX_EXPRESSION_DEPTH} levels; split it into rules"
            )

    def _refusal_of(self, node: ast.AST, *, at: ast.expr | None = None) -> ExpressionRefused:
        instead = _INSTEAD.get(type(node)) or (f"{type(node).__name__} is not in the language; {_LANGUAGE}")
        return _refusal(_column(at or node), instead)


def _column(node: ast.AST) -> int:
    """1-based column in the text, leading blanks left out."""
    return int(getattr(node, "col_offset", 0)) + 1


def _refusal(column: int, message: str) -> ExpressionRefused:
    return ExpressionRefused((Fault(column, message),))


# ---------------------------------------------------------------------- the tree's use


def canonical_text(node: Condition | Term) -> str:
    """The one spelling of a tree: every bracket written, single blanks, decimal numbers."""
    match node:
        case Literal(value=value):
            return str(value)
        case Read(signal=signal, blocks_ago=0):
            return signal
        case Read(signal=signal, blocks_ago=blocks_ago):
            return f"prev({signal}, {blocks_ago})"
        case Negate(operand=operand):
            return f"(-{canonical_text(operand)})"
        case Not(operand=condition):
            return f"(not {canonical_text(condition)})"
        case Compute(operator=arithmetic, left=left, right=right):
            return f"({canonical_text(left)} {arithmetic.value} {canonical_text(right)})"
        case Compare(operator=comparison, left=left, right=right):
            return f"({canonical_text(left)} {comparison.value} {canonical_text(right)})"
        case Choose(function=function, arguments=arguments):
            return f"{function.value}({', '.join(map(canonical_text, arguments))})"
        case BasisPoints(part=part, whole=whole):
            return f"bps({canonical_text(part)}, {canonical_text(whole)})"
        case Over(function=fold, term=term, blocks=blocks):
            return f"{fold.value}({canonical_text(term)}, {blocks})"
        case Count(condition=condition, blocks=blocks):
            return f"count({canonical_text(condition)}, {blocks})"
        case Join(connective=connective, conditions=conditions):
            return f"({f' {connective.value} '.join(map(canonical_text, conditions))})"
