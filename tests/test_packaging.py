"""The package: what it promises to install, that importing it is light, and that versions and targets agree."""

import importlib.metadata
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import minissd

REPOSITORY = Path(__file__).resolve().parent.parent
EXTRAS = {
    *(
        "cuda12",
        "cuda13",
        "notebooks",
        "kernels",
        "test",
        "peer",
        "benchmark",
        "distributed",
        "coco",
        "onnx",
        "site",
    )
}


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads(read("pyproject.toml"))["project"]


def python(code: str) -> str:
    """Run a program in a fresh interpreter and return what it printed."""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def lower_bounds(requirement: Requirement) -> list[str]:
    return [bound.version for bound in requirement.specifier if bound.operator in (">=", "==")]


def test_every_extra_is_there(project):
    assert set(project["optional-dependencies"]) == EXTRAS


def test_every_requirement_can_be_read_and_has_a_lower_bound(project):
    lines = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    for line in lines:
        assert len(lower_bounds(Requirement(line))) == 1, line


def test_the_oldest_versions_are_those_that_are_tried(project):
    oldest = {}
    for line in read("requirements-oldest.txt").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            oldest[requirement.name] = lower_bounds(requirement)[0].removesuffix(".*")
    extras = project["optional-dependencies"]
    promised = [Requirement(line) for line in [*project["dependencies"], *extras["test"]]]
    assert oldest == {line.name: lower_bounds(line)[0] for line in promised}


def test_this_python_is_allowed(project):
    allowed = SpecifierSet(project["requires-python"])
    assert ".".join(map(str, sys.version_info[:3])) in allowed
    assert "3.11.0" in allowed
    assert "3.10.99" not in allowed


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-gpu.txt", "requirements-peer.txt"]
)
def test_requirement_files_ask_for_extras_that_exist(name, project):
    lines = [line for line in read(name).splitlines() if line.strip() and not line.startswith("#")]
    assert lines
    for line in lines:
        editable = re.fullmatch(r"-e \.\[([\w,]+)\]", line)
        assert editable, f"{name}: {line}"
        assert set(editable[1].split(",")) <= set(project["optional-dependencies"])


def test_the_version_is_the_same_everywhere(project):
    installed = importlib.metadata.version("minissd")
    assert installed == project["version"], "pyproject.toml has changed: install the package again"
    assert minissd.__version__ == project["version"]


def test_the_command_is_installed(project):
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="minissd")
    assert script.value == project["scripts"]["minissd"]
    assert callable(script.load())


@pytest.mark.parametrize("module", ["minissd", "minissd.cli", "minissd.nn", "minissd.boxes"])
def test_importing_is_light(module):
    loaded = python(f"import sys, {module}; print(*sys.modules)").split()
    assert module in loaded
    assert not {"cupy", "matplotlib", "torch", "PIL.Image", "IPython"} & set(loaded)


def test_every_part_imports_without_cupy():
    code = """
import importlib, pkgutil, sys
sys.modules["cupy"] = None
import minissd
names = [m.name for m in pkgutil.walk_packages(minissd.__path__, "minissd.")]
names = [name for name in names if not name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
print(*names)
"""
    assert "minissd.nn.conv" in python(code).split()


def test_every_folder_with_code_is_a_package():
    folders = {path.parent for path in Path(minissd.__file__).parent.rglob("*.py")}
    assert all((folder / "__init__.py").is_file() for folder in folders)
    found = {module.name for module in pkgutil.iter_modules(minissd.__path__) if module.ispkg}
    assert {"nn", "boxes", "datasets", "evaluation", "models", "training"} <= found


@pytest.mark.parametrize(
    "target",
    [
        "help",
        "install",
        "demo",
        "test",
        "test-oldest",
        "test-peer",
        "site",
        "test-site",
        "install-peer",
        "lint",
        "clean",
    ],
)
def test_the_makefile_has_its_targets(target):
    text = read("Makefile")
    assert re.search(rf"^{target}:", text, re.MULTILINE)
    (phony,) = re.findall(r"^\.PHONY:(.*)", text, re.MULTILINE)
    assert target in phony.split()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed: not tried")
@pytest.mark.parametrize(
    "target, words",
    [
        ("test", ["-m pytest", "-m ruff check", "-r requirements.txt"]),
        ("test-oldest", ["-m pytest", "-r requirements-oldest.txt"]),
        ("test-peer", ["-m pytest -m peer", "-r requirements-peer.txt"]),
    ],
)
def test_make_can_read_the_makefile(target, words):
    command = ["make", "--dry-run", "--always-make", target]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert all(word in result.stdout for word in words), result.stdout


def test_continuous_integration_runs_make_test():
    script = REPOSITORY / ".ci" / "run"
    assert "make test" in script.read_text(encoding="utf-8")
    assert os.name == "nt" or os.access(script, os.X_OK)


def test_the_licence_is_the_one_that_is_named(project):
    assert project["license"] == "MIT"
    for name in project["license-files"]:
        assert "MIT License" in read(name)


def test_the_readme_gives_the_commands():
    text = read("README.md")
    for command in (
        "make demo",
        "make test",
        "python -m minissd",
        "pip install -r requirements.txt",
    ):
        assert command in text
