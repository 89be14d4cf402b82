"""What may import what: the contracts of the house, held over every import of the source."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pipeline", "exporters")

SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


def imports(module: str, at_once: bool = False) -> set[str]:
    """Our modules that a module imports, in functions too unless `at_once`; never what only a type checker reads."""

    def walk(node: ast.AST) -> Iterator[ast.AST]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if at_once and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            yield child
            yield from walk(child)

    found: set[str] = set()
    for node in walk(ast.parse(SOURCES[module].read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{module} imports relative to itself"
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = members & set(SOURCES)
            found |= modules or {node.module}
            # `from package import name, module` needs both.
            found |= {node.module} if len(modules) < len(node.names) else set()
    return {name for name in found if name in SOURCES}


GRAPH = {module: imports(module) for module in SOURCES}


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_import_contracts_are_kept() -> None:
    """Those of pyproject.toml, by the tool that reads them; in a process of its own, since it silences loggers."""
    pytest.importorskip("importlinter.cli")
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_exporters_know_nothing_of_the_pipeline() -> None:
    assert not {
        (module, name)
        for module in GRAPH
        for name in GRAPH[module]
        if module.startswith("exporters") and name.startswith("pipeline")
    }


def test_no_module_imports_itself_through_others() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join((*path[path.index(module) :], module))
        if module not in done:
            for name in sorted(GRAPH[module]):
                visit(name, (*path, module))
            done.add(module)

    for module in GRAPH:
        visit(module, ())


@pytest.mark.parametrize(
    ("rooms", "forbidden"),
    [
        # A recipe is put together from the settings of the rooms, and read without the code that carries it out.
        ("recipe", "models tmkd training evaluation stages runner report commands cli console"),
        ("data", "recipe models tmkd distill training evaluation stages runner report commands cli console"),
        # The paper's lines know nothing of losses of other methods, of loops and of files.
        ("tmkd", "distill training evaluation stages runner report commands cli console data"),
        ("models", "tmkd distill training evaluation stages runner report commands cli console data"),
        ("distill", "training evaluation stages runner report commands cli console data"),
        ("training", "distill evaluation stages report commands cli data recipe"),
        ("evaluation", "distill training stages runner report commands cli console recipe"),
        # The runner knows what a stage is and not which there are.
        ("runner", "data models tmkd distill training evaluation report stages commands cli"),
        ("stages", "explain report commands cli"),
        ("explain", "report comparison commands cli preflight"),
        ("report", "commands cli models tmkd distill training comparison"),
        # A comparison runs stages and reads their files; its page is drawn as that of a run. Nothing below knows of it.
        ("comparison", "commands cli models tmkd training"),
        ("recipe data models tmkd distill training evaluation stages runner report console", "comparison"),
        ("randomness console", "recipe data models tmkd distill training evaluation stages runner report commands cli"),
    ],
)
def test_data_flow_one_way(rooms: str, forbidden: str) -> None:
    sources = {f"pipeline.{name}" for name in rooms.split()}
    targets = {f"pipeline.{name}" for name in forbidden.split()}
    assert sources | targets <= {room(module) for module in GRAPH}
    found = {(m, name) for m in GRAPH if room(m) in sources for name in GRAPH[m] if room(name) in targets}
    # Settings are no code that carries anything out.
    reads_settings = {"pipeline.recipe", "pipeline.comparison"}
    assert not {(m, name) for m, name in found if room(m) not in reads_settings or not name.endswith(".settings")}


HEAVY = {
    "matplotlib",
    "torch",
    "torchvision",
    "timm",
    "open_clip",
    "lightning_fabric",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "scipy",
}


COMMANDS = sorted(module for module in SOURCES if module.startswith("pipeline.commands."))


@pytest.mark.parametrize(
    "module",
    ["pipeline.__main__", "pipeline.cli", *COMMANDS, "pipeline.runner.engine", "pipeline.stages.registry",
     "pipeline.recipe", "pipeline.report.summary", "pipeline.comparison.report", "pipeline.data.index",
     "pipeline.data.indexing", "pipeline.runner.planning",
     "exporters.bundle.verify", "exporters.client"],
)  # fmt: skip
def test_what_plans_and_what_reads_a_bundle_imports_nothing_heavy(module: str) -> None:
    waiting, seen = [module], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting += [*imports(name, at_once=True), *({name.rpartition(".")[0]} & set(SOURCES))]
        for node in ast.parse(SOURCES[name].read_bytes()).body:
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not {text.partition(".")[0] for text in names} & HEAVY, name
