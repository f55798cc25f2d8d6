"""What the cloud does for a mixed feed: the columns that rules read, and prices that it hands out with pages."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from edgerec.bundle.manifest_file import read_cloud_manifest, write_manifest
from edgerec.cloud.mix_prices import MOST_BYTES, MixPrices, unused
from edgerec.cloud.serve import serve
from edgerec.cloud.settings import ServerSettings
from edgerec.cloud.start import open_service
from edgerec.core.errors import ConfigurationError, LogsError
from edgerec.data.logs import write_logs
from edgerec.paging.codec import decode_page, encode_page
from edgerec.paging.mix_prices import read_prices
from edgerec.paging.page import PageRequest
from tests.cloud.bundles import write_bundle
from tests.synthetic import SPEC, make_logs

KINDS = ["product", "ad", None]
RULES = ("ad", "product", "video")
"""The kinds of the rules."""


def with_rules(path: Path, version_id: str, *columns: str) -> Path:
    """Write a bundle whose rules read these columns."""
    bundle = write_bundle(path, version_id, SPEC)
    manifest = read_cloud_manifest(bundle / "cloud")
    write_manifest(manifest.model_copy(update={"mixing_columns": columns, "mixing_kinds": RULES}), bundle / "cloud")
    return bundle


@pytest.fixture(scope="module")
def mixed_logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return logs whose items have kinds and advertisers, which no feature reads."""
    path, logs = tmp_path_factory.mktemp("mixed") / "logs", make_logs()
    count = len(logs.items)
    kinds = pl.Series("card_kind", [KINDS[row % 3] for row in range(count)], dtype=pl.String)
    advertisers = pl.Series("advertiser", [row % 5 or None for row in range(count)], dtype=pl.Int64)
    write_logs(replace(logs, items=logs.items.with_columns(kinds, advertisers)), path)
    return path


def test_a_page_and_items_have_the_columns_of_the_rules(mixed_logs: Path, tmp_path: Path) -> None:
    bundles = [
        with_rules(tmp_path / "a", "with", "card_kind", "advertiser"),
        write_bundle(tmp_path / "b", "without", SPEC),
    ]
    service = open_service(mixed_logs, bundles)
    rows = {row["item_id"]: row for row in pl.read_parquet(mixed_logs / "items.parquet").to_dicts()}
    page = decode_page(encode_page(service.page(PageRequest(3, 1, "with", 20))))
    for item, kind, advertiser in zip(
        page.items.item_id.tolist(), page.items.columns["card_kind"], page.items.columns["advertiser"], strict=True
    ):
        assert (kind, advertiser) == (rows[item]["card_kind"], rows[item]["advertiser"])
    assert "card_kind" in service.items("with", [100]).columns
    assert "card_kind" not in service.page(PageRequest(3, 1, "without", 20)).items.columns


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            ("kind_of_card",),
            "has no column 'kind_of_card', which the rules of version v read; its columns are: item_id",
        ),
        (("shop",), "items.shop should hold strings .the rules of version v.; received Int64"),
        (("card_kind", "card_kind"), "items.card_kind should hold integers .the rules of version v."),
    ],
)
def test_a_catalogue_that_does_not_fit_the_rules_is_one_error(
    mixed_logs: Path, tmp_path: Path, columns: tuple[str, ...], words: str
) -> None:
    with pytest.raises(LogsError, match=words) as caught:
        open_service(mixed_logs, [with_rules(tmp_path / "a", "v", *columns)])
    assert "\n" not in str(caught.value)


def write(path: Path, document: object) -> Path:
    """Write a file whose time of change is new, also on a clock of low resolution."""
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    write.calls += 1  # type: ignore[attr-defined]
    os.utime(path, ns=(10**9, write.calls * 10**9))  # type: ignore[attr-defined]
    return path


write.calls = 0  # type: ignore[attr-defined]


def test_prices_are_handed_out_and_read_again_when_the_file_changes(
    mixed_logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "prices.json", {"prices": {"ad": 1.5, "video": -2}})
    bundles = [with_rules(tmp_path / "a", "with", "card_kind"), write_bundle(tmp_path / "b", "without", SPEC)]
    service = open_service(mixed_logs, bundles, prices=MixPrices(path))

    def prices(version_id: str | None = "with") -> dict[str, float]:
        page = decode_page(encode_page(service.page(PageRequest(3, 1, version_id, 5))))
        return read_prices(page.context, ("ad", "video", "product"))

    assert prices() == {"ad": 1.5, "video": -2.0}
    assert (
        service.page(PageRequest(3, 1, "without", 5)).context == service.page(PageRequest(3, 1, None, 5)).context == {}
    )
    write(path, {"format": 1, "version_id": "with", "prices": {"ad": 2.5}, "examination": [1.0]})
    assert prices() == {"ad": 2.5}
    write(path, {"version_id": "another", "prices": {"ad": 3.5}})
    assert prices() == {}
    write(path, {"prices": {"ad": 4.5}})
    assert prices() == {"ad": 4.5}
    for wrong in ("{", {"prices": {"ad": "much"}}):
        write(path, wrong)
        assert [prices(), prices()] == [{"ad": 4.5}] * 2
    path.unlink()
    assert [prices(), prices()] == [{"ad": 4.5}] * 2
    assert capsys.readouterr().err.count("edgerec: the prices before stay: ") == 3
    write(path, {"prices": {"ad": 5.5}})
    assert prices() == {"ad": 5.5}


@pytest.mark.parametrize(
    ("version_id", "prices", "text"),
    [
        (None, {"ad": 1.0}, None),
        ("with", {"ad": 1.0, "video": 0.0}, None),
        (None, {}, "it has no prices, so those of the bundles hold"),
        (
            None,
            {"ad": 1.0, "advert": 2.0},
            "its price of 'advert' has no effect: the kinds of the rules are ad, product, video",
        ),
        (
            "another",
            {"ad": 1.0},
            "its version_id another is not served, so no device gets its prices; the served versions: with, without",
        ),
        ("without", {"ad": 1.0}, "no bundle that gets its prices (without) has rules, so no device uses them"),
    ],
)
def test_prices_that_no_device_uses_are_named(
    version_id: str | None, prices: dict[str, float], text: str | None
) -> None:
    assert unused(version_id, prices, {"with": RULES, "without": ()}) == text


def test_prices_that_no_device_uses_are_said_at_the_start_and_at_a_change(
    mixed_logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "prices.json", {"prices": {"advert": 1.5}})
    service = open_service(mixed_logs, [with_rules(tmp_path / "a", "with", "card_kind")], prices=MixPrices(path))
    said = f"edgerec: {path}: its price of 'advert' has no effect: the kinds of the rules are ad, product, video\n"
    assert capsys.readouterr().err.endswith(said)
    service.page(PageRequest(3, 1, "with", 5))
    write(path, {"prices": {"ad": 1.5}})
    service.page(PageRequest(3, 1, "with", 5))
    assert capsys.readouterr().err == ""
    write(path, {"prices": {}})
    for _ in range(2):
        service.page(PageRequest(3, 1, "with", 5))
    assert capsys.readouterr().err == f"edgerec: {path}: it has no prices, so those of the bundles hold\n"


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: None, "cannot be read .No such file"),
    "no JSON": (lambda path: path.write_text("{"), "should be a JSON object with `prices`"),
    "too long": (lambda path: path.write_text(" " * MOST_BYTES + "{}"), "should be a JSON object with `prices`"),
    "a list": (lambda path: path.write_text("[]"), "should be a JSON object with `prices`"),
    "a price of text": (lambda path: write(path, {"prices": {"ad\n": "1"}}), "the price of 'ad.*should be a number"),
    "NaN": (lambda path: path.write_text('{"prices": {"ad": NaN}}'), "should be a number from -1e\\+06 to 1e\\+06"),
    "infinite": (lambda path: path.write_text('{"prices": {"ad": 1e999}}'), "should be a number"),
    "too large": (lambda path: write(path, {"prices": {"ad": 1e7}}), "should be a number"),
    "true": (lambda path: write(path, {"prices": {"ad": True}}), "should be a number"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_of_prices_is_one_error_at_the_start(mixed_logs: Path, tmp_path: Path, case: str) -> None:
    make, words = WRONG[case]
    make(tmp_path / "prices.json")
    with pytest.raises(ConfigurationError, match=words) as caught:
        serve([], mixed_logs, ServerSettings(port=0, mix_prices=tmp_path / "prices.json"))
    assert "\n" not in str(caught.value)
