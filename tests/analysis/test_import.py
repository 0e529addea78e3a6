import subprocess
import sys

import pytest

PROGRAM = """
import sys
{imports}
loaded = [name for name in {forbidden} if name in sys.modules]
sys.exit(f"loaded {{loaded}}" if loaded else 0)
"""


def run(imports: str, *forbidden: str) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(imports=imports, forbidden=list(forbidden))
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "imports",
    ["import analysis", "from analysis import load", "import analysis.figures.catalog, analysis.tables.paper"],
)
def test_importing_the_analysis_loads_neither_torch_nor_ray(imports: str) -> None:
    assert run(imports, "torch", "ray", "memo_core.model").stderr == ""


def test_importing_the_package_waits_for_nothing() -> None:
    assert run("import analysis", "pandas", "matplotlib", "numpy").stderr == ""


def test_the_table_command_loads_no_plotting_and_no_statistics() -> None:
    imports = "import analysis.commands.table"
    assert run(imports, "seaborn", "matplotlib", "scipy.stats", "sklearn", "torch", "ray").stderr == ""


def test_an_unknown_name_is_an_attribute_error() -> None:
    import analysis

    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        analysis.lod  # noqa: B018
