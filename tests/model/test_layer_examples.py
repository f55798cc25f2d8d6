"""The example in the docstring of each public layer runs and gives the shape that it shows."""

from __future__ import annotations

import doctest

import pytest

from edgerec import layers


@pytest.mark.parametrize("name", layers.__all__)
def test_the_example_of_a_layer_runs(name: str) -> None:
    docstring = getattr(layers, name).__doc__
    example = doctest.DocTestParser().get_doctest(docstring, {}, name, None, None)
    assert "Example:" in docstring, f"{name}: the docstring should have an example"
    assert any(line.want for line in example.examples), f"{name}: the example should show a result"
    report: list[str] = []
    doctest.DocTestRunner(verbose=False).run(example, out=report.append)
    assert not report, "".join(report)
