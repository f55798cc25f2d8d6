"""Tests of values and combinations of options that are refused before a command does anything."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edgerec.cli.bench_cloud import bench_cloud
from edgerec.cli.keys import load_token
from edgerec.core.errors import InputError
from tests.command_line import edgerec_here

SERVE, BENCH = "serve --catalogue none", "bench cloud none --catalogue none"
WRONG_VALUES = {
    f"{SERVE} --user-rate abc": "should be NUMBER/PERIOD with the period second, minute, hour, day, such as 20/second",
    f"{SERVE} --token-rate 0/second": "should be NUMBER/PERIOD",
    f"{SERVE} --drain nan": "should be a number from 0 to 3600; received 'nan'",
    "versions publish none --to none --share 2": "should be a number from 0 to 1; received '2'",
    "versions publish none --to none --share nan": "should be a number from 0 to 1; received 'nan'",
    "versions share v1 --in none x": "should be a number from 0 to 1; received 'x'",
    f"{BENCH} --connections abc": "should be numbers of at least 1, such as 1,8,64; received 'abc'",
    f"{BENCH} --connections 1,0": "should be numbers of at least 1",
    "bench mix --seed -1": "should be a whole number of at least 0; received '-1'",
    f"{BENCH} --seconds 0": "should be a whole number from 1 to",
    f"{BENCH} --pages -1": "should be a whole number from 0 to",
}
IGNORED = {
    f"{SERVE} --cache-mb 5": "--cache-mb needs --redis",
    f"{SERVE} --prefix x": "--prefix needs --redis",
    "versions list none --token-file none": "--token-file needs --server",
    f"{BENCH} --items 5": "--items needs --brands",
}


@pytest.mark.parametrize("command", [*WRONG_VALUES, *IGNORED])
def test_wrong_usage_ends_with_code_2(command: str) -> None:
    done = edgerec_here(*command.split())
    assert done.returncode == 2, done.stderr
    assert {**WRONG_VALUES, **IGNORED}[command] in done.stderr
    assert "Traceback" not in done.stderr


def test_an_option_with_its_companion_or_from_the_environment_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEREC_REDIS", "redis://127.0.0.1:1")
    assert edgerec_here(*SERVE.split(), "--cache-mb", "5").returncode == 1  # there is no catalogue


def test_a_number_of_connections_that_is_given_twice_is_measured_once() -> None:
    option = next(each for each in bench_cloud.params if each.name == "connections")
    assert option.process_value(click.Context(bench_cloud), "8, 1,8") == (8, 1)
    assert "[default: 1,8,64]" in CliRunner().invoke(bench_cloud, ["--help"]).output


def test_a_token_file_has_a_token_or_lines_as_for_serve(tmp_path: Path) -> None:
    file, token = tmp_path / "token", "x" * 40
    for text in (token, f"  {token}\n", f"# mine\napp {token}\n", f"app {token}\nold {'y' * 40}\n"):
        file.write_text(text)
        assert load_token(file) == token
    for text in ("", "# only\n", f"{token}\n{token}\n", f"a b {token}", "ä" * 30, "z" * 5000):
        file.write_text(text)
        with pytest.raises(
            InputError, match="should contain one token of printable ASCII characters, or lines"
        ) as error:
            load_token(file)
        assert token not in str(error.value)
    file.write_text(f"app sha256:{'a' * 64}")
    with pytest.raises(InputError, match="has only the digest of its first token"):
        load_token(file)
