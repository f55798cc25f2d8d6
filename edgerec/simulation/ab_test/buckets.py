"""The buckets of an A/B test: the control, one for each bundle, and further ones from a TOML file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from edgerec.bundle.layout import DEVICE
from edgerec.bundle.manifest_file import read_device_manifest
from edgerec.core.documents import read_toml
from edgerec.core.errors import ConfigurationError
from edgerec.core.text import check_utf8, did_you_mean
from edgerec.mixing.config import MixConfig
from edgerec.simulation.closed_loop.bucket import CONTROL, Bucket

MOST_BUCKETS = 50
_SETTINGS = [one.name for one in fields(Bucket) if one.name != "name"]


def make_buckets(bundles: Sequence[Path], path: Path | None) -> tuple[Bucket, ...]:
    """Return the buckets: the control, then one for each bundle, then those of the file.

    Args:
        bundles: at least one bundle. The first one is the treatment's. A bucket has the name of its bundle's folder.
        path: a TOML file with a table ``[buckets.NAME]`` for each further bucket. It has settings of `Bucket`. A bucket
            without `bundle` uses the first bundle, and one with ``bundle = false`` has no model. A relative path starts
            at the file's folder.
            ``[buckets.cloud]`` changes the control.

    Raises:
        ConfigurationError: the file cannot be read, a setting is unknown or not valid, or two buckets have one name.
    """
    settings = {} if path is None else _read(path)
    control = settings.pop(CONTROL, {})
    if "bundle" in control:
        raise ConfigurationError(f"buckets: the bucket {CONTROL!r} has no bundle: remove the setting")
    found = [Bucket(CONTROL, **control)]
    found += [Bucket(bundle.resolve().name, bundle) for bundle in bundles]
    for name, values in settings.items():
        given = values.pop("bundle", None)
        if given is not None and given is not False and (not isinstance(given, str) or not given):
            raise ConfigurationError(f"bucket {name!r}: bundle should be a path or false; received {given!r:.80}")
        bundle = None if given is False else bundles[0] if given is None else (path or Path()).parent / given
        if given and bundle is not None and not bundle.is_dir():
            raise ConfigurationError(f"bucket {name!r}: {bundle} is not a folder: give the path of a bundle")
        found.append(Bucket(name, bundle, **values))
    for bucket in found:
        if bucket.bundle is not None:
            check_utf8(bucket.bundle, what=f"bucket {bucket.name!r}")
    twice = [name for name, number in Counter(one.name for one in found).items() if number > 1]
    if twice:
        raise ConfigurationError(
            f"buckets: two buckets have the name {twice[0]!r}: rename a bundle's folder, or a bucket in the file"
        )
    if len(found) > MOST_BUCKETS:
        raise ConfigurationError(f"buckets: there should be at most {MOST_BUCKETS}; received {len(found)}")
    return tuple(found)


def shared_buckets(buckets: Sequence[Bucket]) -> dict[str, str | None]:
    """Return, for each bucket with patches, the name of the one that differs only in having none; None without one."""
    return {
        one.name: next(
            (each.name for each in buckets if replace(one, name=each.name, personal=False) == each),
            None,
        )
        for one in buckets
        if one.personal
    }


def check_heads(buckets: Sequence[Bucket]) -> None:
    """Check that the bundle of each bucket with patches has a head for them.

    Raises:
        ConfigurationError: one has none.
        EdgeRecError: a bundle cannot be read.
    """
    for bucket in buckets:
        if (
            bucket.personal
            and bucket.bundle is not None
            and read_device_manifest(bucket.bundle / DEVICE).personal is None
        ):
            raise ConfigurationError(
                f"bucket {bucket.name!r}: personal needs a bundle with a head of personal patches; {bucket.bundle} has "
                "none: export it with `edgerec export --personal HEAD`, or remove the setting"
            )


def _read(path: Path) -> dict[str, dict[str, Any]]:
    document = read_toml(path)
    tables = document.pop("buckets", {})
    if document or not isinstance(tables, Mapping) or not tables:
        raise ConfigurationError(f"buckets: {path} should have tables [buckets.NAME], and nothing else")
    found: dict[str, dict[str, Any]] = {}
    for name, values in tables.items():
        if not isinstance(values, Mapping):
            raise ConfigurationError(f"buckets: {path}: [buckets.{name}] should be a table; received {values!r:.80}")
        for key in values:
            if key not in _SETTINGS:
                question = did_you_mean(key, _SETTINGS)
                raise ConfigurationError(
                    f"bucket {name!r}: {key} is not a known setting{question}; the known settings are: "
                    f"{', '.join(_SETTINGS)}"
                )
        found[name] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        if "mix" in found[name]:
            found[name]["mix"] = _mix(name, found[name]["mix"])
    return found


def _mix(name: str, values: object) -> MixConfig:
    known = [one.name for one in fields(MixConfig)]
    if not isinstance(values, Mapping) or not set(values) <= set(known):
        raise ConfigurationError(
            f"bucket {name!r}: mix should be a table with some of {', '.join(known)}; received {values!r:.80}"
        )
    try:
        return MixConfig(**values)
    except ConfigurationError as error:
        raise ConfigurationError(f"bucket {name!r}: {error}") from None
