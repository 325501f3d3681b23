"""What an expression says about given values: its tree turned into functions once, called at every block.

A closure for each part of the tree, nothing of Python's `eval`: a thousand rules a block are a matter of
milliseconds, and each part still decides for itself what has no value.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from consensus.errors import Reason
from node.evaluate.expressions import (
    MAX_MAGNITUDE,
    WHOLE_BPS,
    Arithmetic,
    BasisPoints,
    Choice,
    Choose,
    Compare,
    Comparison,
    Compute,
    Condition,
    Connective,
    Count,
    Fold,
    Join,
    Literal,
    Negate,
    Not,
    Over,
    Read,
    Term,
    Undefined,
)

Values: TypeAlias = Sequence[int | Undefined]
"""The value of each of an expression's reads, in their order."""
_Integer: TypeAlias = Callable[[Values], int]
_Truth: TypeAlias = Callable[[Values], bool]

_COMPARE: Final[dict[Comparison, Callable[[int, int], bool]]] = {
    Comparison.LESS: operator.lt,
    Comparison.AT_MOST: operator.le,
    Comparison.GREATER: operator.gt,
    Comparison.AT_LEAST: operator.ge,
    Comparison.EQUAL: operator.eq,
    Comparison.UNEQUAL: operator.ne,
}
_COMPUTE: Final[dict[Arithmetic, Callable[[int, int], int]]] = {
    Arithmetic.ADD: operator.add,
    Arithmetic.SUBTRACT: operator.sub,
    Arithmetic.MULTIPLY: operator.mul,
    Arithmetic.FLOOR_DIVIDE: operator.floordiv,
    Arithmetic.REMAINDER: operator.mod,
}


class _NoValueError(Exception):
    """Carries an `Undefined` up through one evaluation; never leaves this module."""

    def __init__(self, undefined: Undefined) -> None:
        super().__init__(undefined.message)
        self.undefined = undefined


@dataclass(frozen=True, slots=True)
class Judge:
    """An expression, ready to be asked: bring a value for each of `reads`."""

    reads: tuple[Read, ...]
    _truth: _Truth

    @classmethod
    def of(cls, condition: Condition) -> Judge:
        first = _Compiler({})
        first.truth(condition, 0)
        # block by block, so that whoever brings the values goes to each block once
        reads = tuple(sorted(first.places, key=lambda read: (read.blocks_ago, read.signal)))
        return cls(reads, _Compiler({read: place for place, read in enumerate(reads)}).truth(condition, 0))

    def truth(self, values: Values) -> bool | Undefined:
        """Whether the condition holds, or why that cannot be said."""
        try:
            return self._truth(values)
        except _NoValueError as error:
            return error.undefined


def reads_of(condition: Condition) -> frozenset[Read]:
    """Every value that an evaluation of `condition` may ask for."""
    return frozenset(Judge.of(condition).reads)


def compute_truth(condition: Condition, values: Mapping[Read, int | Undefined]) -> bool | Undefined:
    """Whether `condition` holds, or why that cannot be said. `values` has an entry for each read."""
    judge = Judge.of(condition)
    return judge.truth([values[read] for read in judge.reads])


class _Compiler:
    """Gives each read its place among the values. `ago` is how far back a window has moved its inside."""

    def __init__(self, places: dict[Read, int]) -> None:
        self.places = places

    def truth(self, condition: Condition, ago: int) -> _Truth:
        match condition:
            case Compare(operator=comparison, left=left, right=right):
                return _compared(_COMPARE[comparison], self.integer(left, ago), self.integer(right, ago))
            case Not(operand=operand):
                inside = self.truth(operand, ago)
                return lambda values: not inside(values)
            case Join(connective=connective, conditions=conditions):
                return _joined(connective, tuple(self.truth(each, ago) for each in conditions))

    def integer(self, term: Term, ago: int) -> _Integer:
        match term:
            case Literal(value=number):
                return lambda values: number
            case Read(signal=signal, blocks_ago=blocks_ago):
                return _read(self.places.setdefault(Read(signal, blocks_ago + ago), len(self.places)))
            case Negate(operand=operand):
                inside = self.integer(operand, ago)
                return lambda values: -inside(values)
            case Compute(operator=arithmetic, left=left, right=right):
                return _computed(arithmetic, self.integer(left, ago), self.integer(right, ago))
            case Choose(function=Choice.ABS, arguments=(argument,)):
                inside = self.integer(argument, ago)
                return lambda values: abs(inside(values))
            case Choose(function=function, arguments=arguments):
                choose = min if function is Choice.MIN else max
                chosen = tuple(self.integer(each, ago) for each in arguments)
                return lambda values: choose([each(values) for each in chosen])
            case BasisPoints(part=part, whole=whole):
                return _basis_points(self.integer(part, ago), self.integer(whole, ago))
            case Over(function=fold, term=inner, blocks=blocks):
                return _folded(fold, tuple(self.integer(inner, k) for k in range(blocks)))
            case Count(condition=inner, blocks=blocks):
                truths = tuple(self.truth(inner, k) for k in range(blocks))
                return lambda values: sum(each(values) for each in truths)


def _compared(compare: Callable[[int, int], bool], left: _Integer, right: _Integer) -> _Truth:
    return lambda values: compare(left(values), right(values))


def _joined(connective: Connective, conditions: tuple[_Truth, ...]) -> _Truth:
    decided = connective is Connective.OR

    def truth(values: Values) -> bool:
        for condition in conditions:
            if condition(values) is decided:
                return decided
        return not decided

    return truth


def _read(place: int) -> _Integer:
    def integer(values: Values) -> int:
        value = values[place]
        if isinstance(value, Undefined):
            raise _NoValueError(value)
        return _bounded(value)

    return integer


def _computed(arithmetic: Arithmetic, left: _Integer, right: _Integer) -> _Integer:
    compute = _COMPUTE[arithmetic]
    if arithmetic not in (Arithmetic.FLOOR_DIVIDE, Arithmetic.REMAINDER):
        return lambda values: _bounded(compute(left(values), right(values)))

    def integer(values: Values) -> int:
        dividend, divisor = left(values), right(values)
        if divisor == 0:
            raise _division_by_zero(f"{dividend} {arithmetic.value} 0")
        return compute(dividend, divisor)

    return integer


def _basis_points(part: _Integer, whole: _Integer) -> _Integer:
    def integer(values: Values) -> int:
        dividend, divisor = part(values), whole(values)
        if divisor == 0:
            raise _division_by_zero(f"bps({dividend}, 0)")
        return _bounded(dividend * WHOLE_BPS // divisor)

    return integer


def _folded(fold: Fold, terms: tuple[_Integer, ...]) -> _Integer:
    if fold is Fold.SUM:
        return lambda values: _bounded(sum([each(values) for each in terms]))
    choose = max if fold is Fold.HIGHEST else min
    return lambda values: choose([each(values) for each in terms])


def _bounded(value: int) -> int:
    if -MAX_MAGNITUDE <= value <= MAX_MAGNITUDE:
        return value
    raise _NoValueError(
        Undefined(
            Reason.ARITHMETIC_UNDEFINED,
            f"a value of {value.bit_length()} bits came up, at most 2**512 is computed; divide first",
        )
    )


def _division_by_zero(what: str) -> _NoValueError:
    return _NoValueError(
        Undefined(
            Reason.ARITHMETIC_UNDEFINED,
            f"{what} has no value; guard it in the rule: `divisor != 0 and …`",
        )
    )
