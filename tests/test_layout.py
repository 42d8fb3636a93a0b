"""The house keeps its shape: imports point one way, files and functions stay small, and the tree is tidy."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from minissd.models.pretrained import PHOTOS

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "minissd"
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 60  # without its docstring
MAX_MEDIAN_FUNCTION_LINES = 12

# What each part of the package may import from the others (all may import `minissd` itself, which holds the version
# and imports none of its parts). `backend` and `errors` are at the bottom; `nn` and `boxes`
# do not know each other; `plotting` is a leaf that draws what it is given, called by `training` and `commands` only.
BASE = {"errors", "backend"}
DEVICE = {"cuda", "products"}
TOOLS = {"files", "machine", "parallel"}
ALLOWED = {
    "errors": set(),
    "backend": {"errors"},
    "switches": {"errors"},
    "cuda": BASE | {"switches"},
    "products": BASE,
    "files": {"errors"},
    "machine": set(),
    "parallel": BASE | {"machine"},
    "nn": BASE | DEVICE | {"parallel", "switches"},
    "boxes": BASE | DEVICE,
    "datasets": BASE | TOOLS | {"boxes"},
    "evaluation": BASE | TOOLS | {"boxes"},
    "models": BASE | DEVICE | TOOLS | {"nn", "boxes"},
    "export": BASE | TOOLS | {"nn", "boxes", "models"},
    "plotting": BASE | TOOLS | {"boxes", "datasets", "evaluation"},
    "system": BASE | DEVICE | TOOLS,
    "training": BASE
    | DEVICE
    | TOOLS
    | {"nn", "boxes", "datasets", "evaluation", "models", "plotting"},
}
ALLOWED["commands"] = set(ALLOWED)
ALLOWED["cli"] = BASE | {"commands", "products"}
ALLOWED["__main__"] = {"cli"}
ALLOWED["minissd"] = set()  # the package itself imports none of its parts

# Packages from outside, and the parts that may import them ("*": any).
OUTSIDE = {
    "numpy": {"*"},
    "cupy": {"backend", "system", "products", "training"},
    "cupy_backends": {"products"},
    "mpi4py": {"system", "training"},
    "PIL": {"datasets", "plotting", "commands"},
    "matplotlib": {"plotting"},
    "tqdm": {"training", "commands", "datasets"},
    "safetensors": {"training", "models"},
    "threadpoolctl": {"system", "parallel"},
    "defusedxml": {"datasets"},
    "onnx": {"export"},
    "onnxruntime": {"export"},
    "pycocotools": {"evaluation"},
    "pooch": {"datasets"},
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def package_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str:
    """Return the part of the package a module belongs to: "minissd.nn.conv" is of "nn"."""
    return module.split(".")[1] if "." in module else module


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Yield (module, line) of every import in a file, those inside functions too."""
    package = module_name(path) if path.stem == "__init__" else module_name(path).rpartition(".")[0]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join(
                [*(above if node.level else []), *([node.module] if node.module else [])]
            )
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                is_module = base.startswith("minissd") and inner in modules()
                yield (inner if is_module else base), node.lineno


@cache
def modules() -> set[str]:
    return {module_name(path) for path in package_files()}


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef))


def length(function: ast.FunctionDef) -> int:
    """Return the number of lines of a function without its docstring."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        lines -= function.body[0].end_lineno - function.body[0].lineno + 1
    return lines


@cache
def project_files() -> list[Path]:
    """Return the files that belong to the project: tracked or new, not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: which files belong to the project is not known here")
    paths = (REPOSITORY / name for name in listed.decode().split("\0") if name)
    return [path for path in paths if path.is_file()]


def where(path: Path, line: int | None = None) -> str:
    return str(path.relative_to(REPOSITORY)) + (f":{line}" if line else "")


def report(faults: list[str]) -> None:
    assert not faults, "\n".join(["", *faults])


def test_imports_point_one_way():
    faults = []
    for path in package_files():
        own = part_of(module_name(path))
        assert own in ALLOWED, f"{where(path)}: say in tests/test_layout.py what {own!r} may import"
        for module, line in imports(path):
            if module.split(".")[0] == "minissd":
                part = part_of(module)
                if part not in ALLOWED[own] | {own, "minissd"}:
                    faults.append(f"{where(path, line)}: {own} must not import {part}")
    report(faults)


def test_the_order_itself_has_no_circle():
    order: list[str] = []
    waiting = dict(ALLOWED)
    while waiting:
        free = [part for part, below in waiting.items() if below <= {*order, part}]
        assert free, f"these parts may import each other in a circle: {sorted(waiting)}"
        order += free
        waiting = {part: below for part, below in waiting.items() if part not in order}


def lines_for_types_only(path: Path) -> set[int]:
    """Return the lines under `if TYPE_CHECKING:`, which do not run."""
    blocks = (node for node in ast.walk(tree(path)) if isinstance(node, ast.If))
    blocks = (node for node in blocks if getattr(node.test, "id", "") == "TYPE_CHECKING")
    return {line for node in blocks for line in range(node.lineno, node.end_lineno + 1)}


def test_no_modules_import_each_other_in_a_circle():
    graph = {}
    for path in package_files():
        idle = lines_for_types_only(path)
        graph[module_name(path)] = {name for name, line in imports(path) if line not in idle}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module not in done:
            for below in sorted(graph[module] & graph.keys() - {module}):
                visit(below, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_only_known_packages_are_imported_and_where_they_belong():
    faults = []
    for path in package_files():
        own = part_of(module_name(path))
        for module, line in imports(path):
            name = module.split(".")[0]
            if name == "minissd" or name in sys.stdlib_module_names:
                continue
            if not OUTSIDE.get(name, set()) & {own, "*"}:
                faults.append(f"{where(path, line)}: {own} must not import {name}")
    report(faults)


def test_files_and_functions_stay_small():
    faults, lengths = [], []
    for path in (path for path in project_files() if path.suffix == ".py"):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_FILE_LINES:
            faults.append(f"{where(path)}: {lines} lines, more than {MAX_FILE_LINES}")
        for function in functions(path):
            lengths.append(length(function))
            if lengths[-1] > MAX_FUNCTION_LINES:
                place = f"{where(path, function.lineno)}: {function.name}"
                faults.append(f"{place}: {lengths[-1]} lines, more than {MAX_FUNCTION_LINES}")
    median = statistics.median(lengths)
    print(f"{len(lengths)} functions, median {median} lines, longest {max(lengths)}")
    if median > MAX_MEDIAN_FUNCTION_LINES:
        faults.append(
            f"the median function has {median} lines, more than {MAX_MEDIAN_FUNCTION_LINES}"
        )
    report(faults)


def public_definitions(path: Path) -> Iterator[ast.AST]:
    """Yield the module, its public classes and functions, and the public methods of those classes."""
    yield tree(path)
    waiting = [node for node in tree(path).body if hasattr(node, "name")]
    while waiting:
        node = waiting.pop()
        if not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                waiting += [item for item in node.body if hasattr(item, "name")]


def test_everything_public_has_a_docstring():
    faults = []
    for path in package_files():
        if path.read_text(encoding="utf-8").strip() == "":
            faults.append(f"{where(path)}: an empty file says nothing of what it is for")
            continue
        faults += [
            f"{where(path, getattr(node, 'lineno', 1))}: {getattr(node, 'name', 'module')}"
            for node in public_definitions(path)
            if not (ast.get_docstring(node) or "").strip()
        ]
    report(faults)


def test_public_functions_are_typed():
    faults = []
    for path in package_files():
        for node in public_definitions(path):
            if not isinstance(node, ast.FunctionDef):
                continue
            spec = node.args
            named = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]
            untyped = [
                arg.arg
                for arg in named
                if arg and arg.annotation is None and arg.arg not in ("self", "cls")
            ]
            untyped += [] if node.returns else ["return"]
            if untyped:
                faults.append(f"{where(path, node.lineno)}: {node.name}: {', '.join(untyped)}")
    report(faults)


# Put together from pieces, so that this file does not find itself.
UNWANTED = {
    "a path of somebody's machine": r"(?<![\w.~-])/(?:wor" r"k|roo" r"t|hom" r"e|User" r"s)/[\w.]",
    "a marker of unfinished work": r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b",
    "a conflict marker": r"^(?:<{7}|>{7}) ",
}


@pytest.mark.parametrize("what", UNWANTED)
def test_nothing_unwanted_stands_in_the_files(what):
    pattern = re.compile(UNWANTED[what], re.MULTILINE)
    faults = []
    for path in project_files():
        data = path.read_bytes()
        if b"\0" in data:
            continue  # a picture or an array, not text
        text = data.decode("utf-8")
        for found in pattern.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            faults.append(f"{where(path, line)}: {what}: {found.group()!r}")
    report(faults)


@pytest.mark.parametrize(
    "what, line, wanted",
    [
        ("a path of somebody's machine", "open('/hom" + "e/ann/x')", True),
        ("a path of somebody's machine", "/wor" + "k/data", True),
        ("a path of somebody's machine", "https://example.org/hom" + "e/x", False),
        ("a path of somebody's machine", "~/wor" + "k/data", False),
        ("a marker of unfinished work", "# TO" + "DO: later", True),
        ("a marker of unfinished work", "METO" + "DOS", False),
        ("a conflict marker", "<" * 7 + " HEAD", True),
    ],
)
def test_what_is_unwanted_is_recognised(what, line, wanted):
    assert bool(re.search(UNWANTED[what], line, re.MULTILINE)) == wanted


def test_no_large_file_is_in_the_project():
    """But for the trained network that comes with the package, whose size has a test of its own."""
    sizes = {path: path.stat().st_size for path in project_files() if path != PHOTOS}
    report([f"{where(path)}: {size:,} bytes" for path, size in sizes.items() if size > 1_000_000])


@pytest.mark.parametrize("words", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff_is_content(words):
    command = [sys.executable, "-m", "ruff", *words, "--quiet", "."]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_rules_name_real_parts_and_packages():
    """A rule for something that no longer exists would be forgotten silently."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[^\w-]", line)[0].lower() for line in project["dependencies"]}
    names = {"PIL" if name == "pillow" else name for name in names}
    outside = {"cupy", "cupy_backends", "mpi4py", "onnx", "onnxruntime", "pycocotools"}
    assert names | outside == set(OUTSIDE)
