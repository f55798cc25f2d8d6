"""The buckets of an A/B test."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerec.core.errors import ConfigurationError
from edgerec.simulation.ab_test.buckets import make_buckets

BUNDLE = Path("runs/crban")


def write(folder: Path, text: str) -> Path:
    (folder / "buckets.toml").write_text(text, encoding="utf-8")
    return folder / "buckets.toml"


def test_the_control_comes_first_and_bundles_follow() -> None:
    buckets = make_buckets([BUNDLE, Path("dlcm")], None)

    assert [(one.name, one.bundle) for one in buckets] == [("cloud", None), ("crban", BUNDLE), ("dlcm", Path("dlcm"))]
    assert buckets[0].client(logs=False).fetch == 50
    assert buckets[1].client(logs=False).fetch == 100


def test_only_a_control_whose_logs_are_kept_makes_requests() -> None:
    control, treatment = make_buckets([BUNDLE], None)

    assert control.client(logs=False).triggers == ()
    assert (
        control.client(logs=True).triggers == treatment.client(logs=False).triggers == ("click", "delete", "exposures")
    )


def test_a_file_adds_buckets_and_changes_the_control(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [buckets.cloud]
        page = 20
        [buckets.clicks]
        triggers = ["click"]
        device_ms = 3000
        [buckets.other]
        bundle = "more/ipv"
        candidates = 50
        explore = 0.2
        """,
    )
    (tmp_path / "more" / "ipv").mkdir(parents=True)
    control, _, clicks, other = make_buckets([BUNDLE], path)

    assert control.client(logs=False).page == 20
    assert (clicks.bundle, clicks.triggers, clicks.device_ms) == (BUNDLE, ("click",), 3000)
    assert other.bundle == tmp_path / "more/ipv"
    assert other.client(logs=False).candidates == 50
    assert other.client(logs=False).explore == 0.2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[buckets.a]\npages = 20", "pages is not a known setting"),
        ("[buckets.a]\npage = 'x'", "bucket 'a'.*`page` should be a whole number"),
        ("[buckets.a]\ndevice_ms = -1", "device_ms should be a whole number of at least 0"),
        ("[buckets.a]\ntriggers = ['never']", "trigger 'never' is unknown"),
        ("[buckets.a]\nbundle = 3", "bundle should be a path or false"),
        ("[buckets.a]\nbundle = 'nowhere'", "bucket 'a': .*nowhere is not a folder"),
        ("[buckets.a]\nfetch = 0", "`fetch` should be at least 1"),
        ("[buckets.a]\nfetch = false", "`fetch` should be a whole number"),
        ("[buckets.a]\ntriggers = [['click']]", "is unknown"),
        ("[buckets.a]\nexplore = 0.1\nin_view = 2", "explore needs in_view = 1"),
        ("[buckets.cloud]\nexplore = 0.1", "need a bundle"),
        ("[buckets.a]\nbundle = false\ncandidates = 20", "need a bundle"),
        ("[buckets.'../x']\npage = 20", "a name should have"),
        ("[buckets.'a/b']\npage = 20", "a name should have"),
        ("[buckets.'']\npage = 20", "a name should have"),
        ("[buckets.'.a']\npage = 20", "a name should have"),
        ('[buckets."a\\nb"]\npage = 20', "a name should have"),
        ("[buckets.cloud]\nbundle = 'x'", "has no bundle"),
        ("[buckets.crban]\npage = 20", "two buckets have the name 'crban'"),
        ("[buckets]\na = 3", "should be a table"),
        ("page = 3", r"should have tables \[buckets.NAME\]"),
        ("[buckets", "buckets.toml"),
    ],
)
def test_a_wrong_file_is_one_clear_error(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected) as caught:
        make_buckets([BUNDLE], write(tmp_path, text))

    assert "\n" not in str(caught.value)


def test_two_bundles_of_one_name_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="two buckets have the name 'crban'"):
        make_buckets([BUNDLE, Path("other/crban")], None)


def test_a_further_bucket_can_have_no_model(tmp_path: Path) -> None:
    *_, more = make_buckets([BUNDLE], write(tmp_path, "[buckets.large_pages]\nbundle = false\nfetch = 100"))

    assert more.bundle is None
    assert more.client(logs=False).fetch == 100
