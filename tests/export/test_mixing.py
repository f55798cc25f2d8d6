"""Rules of a mixed feed in a bundle: checked at export, signed and hashed with the manifest, loaded by a device."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edgerec.bundle.inspection import inspect_bundle
from edgerec.bundle.load import load_device_model
from edgerec.bundle.manifest_file import read_cloud_manifest, read_device_manifest
from edgerec.cli.tables.bundles import inspection_table
from edgerec.core.errors import ConfigurationError, EdgeRecError
from edgerec.export.bundle import export_bundle
from edgerec.export.mixing import check_kind_column, mixing_of
from edgerec.features.spec import FeatureSpec
from edgerec.mixing.prior import MixPrior
from edgerec.mixing.rules import MixRules
from edgerec.mixing.settings import MixSettings, load_prior, make_settings
from tests.bundle.restamp import restamp_device
from tests.command_line import edgerec_here
from tests.synthetic import SPEC

RULES = MixRules.model_validate(
    {"advertiser_column": "advertiser", "kinds": {"product": {}, "ad": {"share": (0, 0.1)}}}
)
PRIOR = MixPrior(version_id="v", prices={"ad": 1.25}, calibration={"ad": (1.5, -0.5)})


def spec_with(feature: dict[str, Any]) -> FeatureSpec:
    document = SPEC.model_dump(mode="json", exclude_none=True)
    document["item"].append(feature)
    return FeatureSpec.model_validate(document)


def test_a_bundle_with_rules_is_loaded_and_described(bundle_path: Path, tmp_path: Path) -> None:
    """The rules are in the manifest, so hash and signature cover them."""
    bundle = tmp_path / "bundle"
    shutil.copytree(bundle_path, bundle)
    settings = MixSettings(rules=RULES, prior=PRIOR)
    restamp_device(bundle, mixing=settings)
    assert load_device_model(bundle).mixing == settings
    found = inspect_bundle(bundle)
    assert found["mixing"]["rules"]["kinds"]["ad"]["share"] == [0.0, 0.1]
    assert found["mixing"]["prior"]["prices"] == {"ad": 1.25}
    console = Console(file=io.StringIO(), width=80)
    console.print(inspection_table(found))
    lines = [line.split() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert ["ad", "1", "0", "to", "0.1", "session", "1", "1", "1", "0", "20"] in lines
    assert ["first", "prices:", "ad", "1.25,", "product", "0"] in lines
    changed = (bundle / "device" / "manifest.json").read_text().replace('"worth": 1.0', '"worth": 9.0', 1)
    (bundle / "device" / "manifest.json").write_text(changed)
    with pytest.raises(EdgeRecError, match="was changed"):
        load_device_model(bundle)


def test_a_bundle_without_rules_is_as_before(bundle_path: Path) -> None:
    assert load_device_model(bundle_path).mixing is None
    assert "mixing" not in inspect_bundle(bundle_path)
    assert read_cloud_manifest(bundle_path / "cloud").mixing_columns == ()


def test_a_manifest_without_the_new_fields_is_read(bundle_path: Path) -> None:
    manifest = read_device_manifest(bundle_path / "device")
    older = {name: value for name, value in manifest.model_dump(mode="json").items() if name != "mixing"}
    assert type(manifest).model_validate(older) == manifest


def test_rules_of_a_newer_version_are_refused(bundle_path: Path) -> None:
    """A device that does not know a rule must not ignore it."""
    manifest = read_device_manifest(bundle_path / "device").model_dump(mode="json")
    rules = {**RULES.model_dump(mode="json"), "later_rule": 1}
    with pytest.raises(ValueError, match="later_rule"):
        type(read_device_manifest(bundle_path / "device")).model_validate({**manifest, "mixing": {"rules": rules}})


@pytest.mark.slow
def test_an_export_with_rules(run_path: Path, tmp_path: Path, short_parity_check: None) -> None:
    version = json.loads((run_path / "run.json").read_text())["version_id"]
    prior = PRIOR.model_copy(update={"version_id": version})
    export_bundle(run_path, tmp_path / "bundle", requests=2, rules=RULES, prior=prior)
    model = load_device_model(tmp_path / "bundle")
    assert model.mixing == make_settings(RULES, prior, version_id=version)
    assert read_cloud_manifest(tmp_path / "bundle" / "cloud").mixing_columns == ("card_kind", "advertiser")
    assert read_cloud_manifest(tmp_path / "bundle" / "cloud").mixing_kinds == RULES.names


def test_kinds_that_the_model_reads_are_checked() -> None:
    one_hot = {
        "name": "kind",
        "kind": "one_hot",
        "origin": "catalogue",
        "source": "card_kind",
        "values": ["product", "ad", "video"],
    }
    found = mixing_of(spec_with(one_hot), RULES, PRIOR, version_id="v")
    assert found == make_settings(RULES, PRIOR, version_id="v")
    with pytest.raises(
        ConfigurationError, match=r"rules: kinds.ad should be a value of the feature kind .card_kind.: pr"
    ):
        mixing_of(spec_with({**one_hot, "values": ["product", "video"]}), RULES, None, version_id="v")
    hashed = {"name": "kind", "kind": "bucketize", "origin": "catalogue", "source": "card_kind", "boundaries": [1.0]}
    with pytest.raises(ConfigurationError, match="kind_column 'card_kind' should be text of few values; feature kind"):
        mixing_of(spec_with(hashed), RULES, None, version_id="v")
    assert mixing_of(SPEC, RULES, None, version_id="v") == make_settings(RULES, None, version_id="v")
    assert mixing_of(SPEC, None, None, version_id="v") is None


@pytest.mark.parametrize(
    ("prior", "words"),
    [
        ({"version_id": "w"}, "it should belong to model version v; received that of version w"),
        (
            {"version_id": "v", "prices": {"adz": 1}},
            "its kinds should be kinds of the rules, product, ad; received 'adz'",
        ),
    ],
)
def test_a_prior_that_does_not_fit_is_refused(prior: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make_settings(RULES, MixPrior.model_validate(prior), version_id="v")


def test_a_prior_without_rules_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="--prior belongs to --rules"):
        mixing_of(SPEC, None, PRIOR, version_id="v")


def test_files_of_priors(tmp_path: Path) -> None:
    path = tmp_path / "prior.json"
    path.write_text(PRIOR.model_dump_json())
    assert load_prior(path) == PRIOR
    for content in ("{", '{"format": 2}', '{"format": 1, "version_id": "v", "prices": {"ad": NaN}}', "[]"):
        path.write_text(content)
        with pytest.raises(ConfigurationError) as caught:
            load_prior(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="should be a JSON file that `edgerec mix fit` wrote; there is none"):
        load_prior(tmp_path / "none.json")


def test_rules_that_contradict_each_other_end_the_command_with_one_line(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text("page = 10\n[kinds.product]\n[kinds.ad]\nat_least = 4\ngap = 5\n")
    done = edgerec_here("export", tmp_path / "run", "--out", tmp_path / "out", "--rules", rules)
    assert done.returncode == 1
    assert "kinds.ad: at_least (4) cards with gap 5 do not fit on a page of 10: at most 2 do" in done.stderr
    assert done.stderr.count("\n") == 1
    done = edgerec_here("export", tmp_path / "run", "--out", tmp_path / "out", "--prior", rules)
    assert done.returncode == 2


def test_the_first_kind_stays_the_one_of_unknown_cards_in_a_manifest() -> None:
    """JSON sorts the kinds, and then the first one would be another kind."""
    settings = make_settings(RULES, None, version_id="v")
    again = MixSettings.model_validate_json(json.dumps(settings.document(), sort_keys=True))
    assert again.rules.names == ("ad", "product")
    assert again.rules.names[again.rules.unknown_index] == "product"


def test_esan_and_rules_read_one_column() -> None:
    settings = MixSettings(rules=MixRules.model_validate({"kind_column": "level", "kinds": {"1": {}}}))
    check_kind_column(settings, reads_kinds=False)
    check_kind_column(None, reads_kinds=True)
    with pytest.raises(ConfigurationError, match="kind_column should be 'card_kind'"):
        check_kind_column(settings, reads_kinds=True)
