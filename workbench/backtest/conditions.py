"""Conditions as people write them, such as `cost > 0.50 or same_effect > 1`: a few of Python's operators over named columns, and nothing else.

Parsed by Python's own parser and never evaluated by it: what is not on the list below is refused with its place.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection
from difflib import get_close_matches

import polars as pl

MAX_CHARACTERS = 2_000
EXAMPLE = "write for example: cost > 0.50 or same_effect > 1"

Binary = Callable[[pl.Expr, pl.Expr], pl.Expr]
COMPARISONS: dict[type[ast.cmpop], Binary] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
ARITHMETIC: dict[type[ast.operator], Binary] = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
JOINS: dict[type[ast.boolop], Binary] = {ast.And: operator.and_, ast.Or: operator.or_}


class ConditionError(ValueError):
    """A condition that can't be used. The message names the place and what would be right."""


def condition(text: str, columns: Collection[str]) -> pl.Expr:
    """The polars expression of a condition over these columns. Each row is judged by itself. ConditionError names what it can't be made of.

    `and`, `or`, `not`, comparisons (chained too), `in (…)`, `+ - * /`, numbers, texts, `True` and `False`; `is None` for what was not recorded.
    """
    if len(text) > MAX_CHARACTERS:
        raise ConditionError(f"a condition of {len(text):,} characters is too long; {MAX_CHARACTERS:,} are allowed")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        place = f" at character {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        raise ConditionError(f"{text!r} can't be read{place}; {EXAMPLE}") from error
    return _Reader(text, columns).read(tree.body)


class _Reader:
    """Makes an expression of a parsed condition."""

    def __init__(self, text: str, columns: Collection[str]) -> None:
        self.text, self.columns = text, columns

    def read(self, node: ast.expr) -> pl.Expr:
        match node:
            case ast.BoolOp(op, values):
                joined = self.read(values[0])
                for value in values[1:]:
                    joined = JOINS[type(op)](joined, self.read(value))
                return joined
            case ast.Compare():
                return self._comparison(node)
            case ast.BinOp(left, op, right) if type(op) in ARITHMETIC:
                return ARITHMETIC[type(op)](self.read(left), self.read(right))
            case ast.UnaryOp(ast.Not(), operand):
                return ~self.read(operand)
            case ast.UnaryOp(ast.USub(), operand):
                return -self.read(operand)
            case ast.Name(name):
                return self._column(name)
            case ast.Constant(bool() | int() | float() | str() as value):
                return pl.lit(value)
        raise self._refused(node)

    def _comparison(self, node: ast.Compare) -> pl.Expr:
        held: pl.Expr | None = None
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            one = self._compared(left, op, right)
            held, left = one if held is None else held & one, right
        if held is None:
            raise self._refused(node)
        return held

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> pl.Expr:
        match op, right:
            case ((ast.In() | ast.NotIn()), (ast.Tuple(elements) | ast.List(elements))) if elements:
                found = self.read(left).is_in([self._constant(element) for element in elements])
                return found if isinstance(op, ast.In) else ~found
            case ((ast.Is() | ast.IsNot()), ast.Constant(None)):
                return self.read(left).is_null() if isinstance(op, ast.Is) else self.read(left).is_not_null()
            case _ if type(op) in COMPARISONS:
                return COMPARISONS[type(op)](self.read(left), self.read(right))
        raise self._refused(right)

    def _constant(self, node: ast.expr) -> bool | int | float | str:
        match node:
            case ast.Constant(bool() | int() | float() | str() as value):
                return value
        raise self._refused(node)

    def _column(self, name: str) -> pl.Expr:
        if name not in self.columns:
            near = get_close_matches(name, self.columns, n=1, cutoff=0.0)[0]
            raise ConditionError(f"there is no column {name!r}; the nearest is {near!r}, all are {', '.join(self.columns)}")
        return pl.col(name)

    def _refused(self, node: ast.AST) -> ConditionError:
        part = ast.get_source_segment(self.text.strip(), node) or type(node).__name__
        return ConditionError(f"{part!r} in {self.text!r} is not allowed: comparisons of columns with values, joined by and, or, not; {EXAMPLE}")
