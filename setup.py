"""Copies search_spaces/, which stands beside the package in a checkout, into the package of a wheel.

Everything else is in pyproject.toml.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithSearchSpaces(build_py):
    """Builds the package, with the search spaces in `sldml/search_spaces/`."""

    def run(self) -> None:
        """Build."""
        super().run()
        if not self.editable_mode:
            self.copy_tree("search_spaces", str(Path(self.build_lib) / "sldml" / "search_spaces"))


setup(cmdclass={"build_py": BuildWithSearchSpaces})
