"""Mutants: small changes of a source file, each of which a test ought to notice.

What only people read is left alone: annotations, docstrings, messages (texts with blanks, f-strings, whatever is
raised), `__repr__`; so are decorators, imports, and what should never happen: assertions and methods that are not
implemented.
"""

import ast
import difflib
import math
import random
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

OPERATORS = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "//"),
    ast.Pow: ("**", "*"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
}
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list"}
METHODS = {"absolute", "clone", "contiguous", "copy", "detach", "expanduser", "lower", "resolve", "strip", "upper"}
"""Calls without arguments that are left out."""
UNSWAPPABLE = {"getattr", "hasattr", "isinstance", "issubclass", "max", "min", "setattr", "super"}
"""Functions whose arguments, exchanged, fail at once or come to the same."""
UNSEEN = {"encoding", "strict"}
"""Arguments without which all goes as well: the machine's own encoding is most often UTF-8, and `strict` asserts."""
UNREAD = {"__repr__", "__str__", "extra_repr"}


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A piece of a file and the text to put in its place."""

    path: Path
    kind: str
    start: int
    """In bytes, as `end`."""
    end: int
    text: str
    lines: tuple[int, int]
    """First and last of the piece."""
    function: tuple[int, int] | None
    """First and last line of the function that it is in."""

    @cached_property
    def original(self) -> bytes:
        return self.path.read_bytes()

    @property
    def source(self) -> str:
        """The whole file, changed."""
        return (self.original[: self.start] + self.text.encode() + self.original[self.end :]).decode()

    @property
    def key(self) -> str:
        """The same for the same change of the same file."""
        return f"{zlib.crc32(self.original):08x}:{self.start}:{self.end}:{self.text}"

    def diff(self, root: Path) -> str:
        """What changes, one line of context around it."""
        name = str(self.path.relative_to(root))
        before, after = self.original.decode().splitlines(), self.source.splitlines()
        return "\n".join(difflib.unified_diff(before, after, name, name, n=1, lineterm=""))


def draw(paths: Sequence[Path], count: int, seed: int) -> list[Mutant]:
    """So many mutants or a few more, spread over the files by their size, over kinds evenly, one at most on a line.

    Each file has its own sequence of random choices: a longer draw contains a shorter one, file by file.
    """
    candidates = {path: list(find(path)) for path in paths}
    total = sum(map(len, candidates.values()))
    drawn = []
    for path, found in sorted(candidates.items()):
        share = math.ceil(count * len(found) / total)
        drawn += _choose(found, share, random.Random(f"{seed} {path.name}"))
    return drawn


def _choose(found: Sequence[Mutant], count: int, chance: random.Random) -> list[Mutant]:
    kinds: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in found:
        kinds[mutant.kind].append(mutant)
    chosen: list[Mutant] = []
    lines: set[int] = set()
    while len(chosen) < count and kinds:
        kind = chance.choice(sorted(kinds))
        mutant = kinds[kind].pop(chance.randrange(len(kinds[kind])))
        if not kinds[kind]:
            del kinds[kind]
        if mutant.lines[0] not in lines and _compiles(mutant):
            lines.add(mutant.lines[0])
            chosen.append(mutant)
    return chosen


def _compiles(mutant: Mutant) -> bool:
    try:
        compile(mutant.source, str(mutant.path), "exec")
    except SyntaxError:
        return False
    return True


def find(path: Path) -> Iterator[Mutant]:
    """All mutants of a file."""
    source = path.read_bytes()
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    for kind, start, end, text, function in finder.found:
        lines = source.count(b"\n", 0, start) + 1, source.count(b"\n", 0, end) + 1
        yield Mutant(path=path, kind=kind, start=start, end=end, text=text, lines=lines, function=function)


class _Finder(ast.NodeVisitor):
    def __init__(self, source: bytes):
        self.source = source
        self.found: list[tuple[str, int, int, str, tuple[int, int] | None]] = []
        self.function: tuple[int, int] | None = None
        self.line_starts = [0]
        for line in source.splitlines(keepends=True):
            self.line_starts.append(self.line_starts[-1] + len(line))

    def start(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        return self.line_starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.line_starts[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: ast.expr) -> str:
        return self.source[self.start(node) : self.end(node)].decode()

    def add(self, kind: str, start: int, end: int, text: str) -> None:
        self.found.append((kind, start, end, text, self.function))

    def replace(self, kind: str, node: ast.expr | ast.stmt | ast.keyword, text: str) -> None:
        self.add(kind, self.start(node), self.end(node), text)

    def operator(self, kind: str, left: ast.expr, operator: ast.AST, right: ast.expr) -> None:
        if type(operator) in OPERATORS:
            old, new = OPERATORS[type(operator)]
            start, end = self.end(left), self.start(right)
            between = self.source[start:end].decode()
            self.add(kind, start, end, between.replace(old, new, 1))

    def negate(self, test: ast.expr) -> None:
        self.replace("condition", test, f"not ({self.text(test)})")

    # what is left alone

    def visit_Import(self, node: ast.Import) -> None:
        pass

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        pass

    def visit_Assert(self, node: ast.Assert) -> None:
        pass

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        pass

    def visit_arg(self, node: ast.arg) -> None:
        pass

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name in UNREAD:
            return
        self.visit(node.args)
        outer = self.function
        self.function = (node.lineno, node.end_lineno or node.lineno)
        for statement in node.body:
            self.visit(statement)
        self.function = outer

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for statement in node.body:
            self.visit(statement)

    # statements

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.replace("statement", node, "pass")
        if not isinstance(node.value, ast.Constant):
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        if not (isinstance(node.exc, ast.Name) and node.exc.id == "NotImplementedError"):
            self.replace("raise", node, "pass")

    def visit_Break(self, node: ast.Break) -> None:
        self.replace("statement", node, "pass")

    def visit_Continue(self, node: ast.Continue) -> None:
        self.replace("statement", node, "pass")

    def visit_Delete(self, node: ast.Delete) -> None:
        self.replace("statement", node, "pass")

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.replace("statement", node, "pass")
        self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        target = node.targets[0]
        if isinstance(target, ast.Name) and target.id == "__all__":
            return
        if isinstance(target, ast.Attribute | ast.Subscript):
            self.replace("statement", node, "pass")
        self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            if not isinstance(node.value, ast.Constant):
                self.replace("return", node, "return None")
            self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        self.negate(node.test)
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if isinstance(node.type, ast.Tuple):
            for left_out in node.type.elts:
                rest = [self.text(kind) for kind in node.type.elts if kind is not left_out]
                self.replace("except", node.type, f"({', '.join(rest)},)")
        elif node.type is not None:
            self.replace("except", node.type, "()")
        for statement in node.body:
            self.visit(statement)

    # expressions

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.negate(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.negate(test)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for left, operator, right in zip([node.left, *node.comparators[:-1]], node.ops, node.comparators, strict=True):
            self.operator("comparison", left, operator, right)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for left, right in zip(node.values[:-1], node.values[1:], strict=True):
            self.operator("and/or", left, node.op, right)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self.operator("arithmetic", node.left, node.op, node.right)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self.replace("condition", node, f"({self.text(node.operand)})")
        elif isinstance(node.op, ast.USub):
            self.replace("arithmetic", node, f"({self.text(node.operand)})")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name in CALLS:
            self.replace("call", node.func, CALLS[name])
        if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS and not (node.args or node.keywords):
            self.replace("call", node, f"({self.text(node.func.value)})")
        for keyword in node.keywords:
            if keyword.arg not in (None, *UNSEEN):
                self.replace("argument left out", keyword, "**{}")
        if len(node.args) > 1 and name not in UNSWAPPABLE:
            first, second = node.args[:2]
            if not isinstance(first, ast.Starred) and not isinstance(second, ast.Starred):
                swapped = f"{self.text(second)}, {self.text(first)}"
                self.add("arguments swapped", self.start(first), self.end(second), swapped)
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg not in UNSEEN:
            self.visit(node.value)

    def visit_Slice(self, node: ast.Slice) -> None:
        for bound in (node.lower, node.upper):
            if bound is not None:
                self.replace("slice", bound, "")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self.replace("switch", node, str(not value))
        elif isinstance(value, int):
            self.replace("number", node, str(value + 1))
            if value > 0:
                self.replace("number", node, str(value - 1))
        elif isinstance(value, float):
            self.replace("number", node, repr(value * 2 + 1))
        elif isinstance(value, str) and value and not any(map(str.isspace, value)):
            self.replace("text", node, repr(f"XX{value}"))
        elif isinstance(value, bytes) and value:
            self.replace("text", node, repr(b"XX" + value))
