"""The statistics of an A/B test as parts of the document of `edgerec abtest --json`.

A figure that the data cannot give is None, never NaN.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Interval = tuple[float, float]
"""The lower and the upper bound of a 95 % confidence interval."""


class Part(BaseModel):
    """Base class of the parts."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=True)


class Winsorised(Part):
    """The cap of the GMV of a user: the `quantile` of the GMV of users with a purchase, over all buckets."""

    quantile: float
    cap: float | None


class Bucket(Part):
    """The users of one bucket. All but `users` and `ctr` are means over users; `gmv` is winsorised.

    Attributes:
        users: number of analysed users.
        sessions: sessions.
        pv: exposures of feed items.
        ctr: clicks of all users divided by their exposures.
        click: clicks on feed items.
        gmv: money of purchases on pages that were opened from the feed.
        orders: how often the device re-ordered.
        pages: pages that the cloud sent.
        deletes: items that the user deleted from the feed.
    """

    users: int
    sessions: float | None
    pv: float | None
    ctr: float | None
    click: float | None
    gmv: float | None
    orders: float | None
    pages: float | None
    deletes: float | None


class Uplift(Part):
    """The relative uplift of one metric (0.05: 5 % more).

    Attributes:
        mean: the uplift.
        ci95: its 95 % confidence interval.
        p: two-sided p-value of no uplift.
        p_adjusted: `p` for the primary metric. The others are adjusted for their number by Holm's method.
    """

    mean: float | None
    ci95: Interval | None
    p: float | None
    p_adjusted: float | None


class MainUplift(Uplift):
    """An uplift of the treatment against the control, beside that of the paper's online test."""

    paper: float


class Comparison(Part):
    """The uplifts of `bucket` against the bucket `against`."""

    bucket: str
    against: str
    uplift: dict[str, Uplift]


class PositionBin(Part):
    """Exposures, clicks and click rate at the display positions from `from` to `to`. `to` is None in the last bin.

    `ci95` treats the exposures of one user as dependent.
    """

    first: int = Field(alias="from")
    last: int | None = Field(alias="to")
    exposures: int
    clicks: int
    rate: float | None
    ci95: Interval | None


class ActivityGroup(Part):
    """The uplifts of users with this number of planned sessions. The group "0" exists only if it has users."""

    sessions: Literal["0", "1", "2", "3 and more"]
    users: int
    uplift: dict[str, Uplift]


class Solved(Part):
    """What a split test can find (power 0.8, two-sided level 0.05).

    Attributes:
        smallest_uplift: relative uplift that 2,000 users in each bucket find.
        users_for_paper: users in each bucket that find the uplift of the paper.
    """

    smallest_uplift: float | None
    users_for_paper: int | None


class Power(Solved):
    """The same without CUPED, and with it. Without a pre-period, `with_cuped` is None."""

    with_cuped: Solved | None


class SampleRatio(Part):
    """The number of users of each bucket, and the p-value of equal shares."""

    counts: dict[str, int]
    p: float | None


class Uniformity(Part):
    """The p-values of A/A splits: p-value of their uniformity, and their share below 0.05."""

    ks_p: float | None
    below_5_percent: float | None


class AATest(Part):
    """An A/A test. The analysis of `metrics` uses CUPED, as the uplifts of the split design do."""

    splits: int
    metrics: dict[str, Uniformity]
    without_cuped: dict[str, Uniformity]


class Simple(Part):
    """A relative uplift whose p-value is not adjusted."""

    mean: float | None
    ci95: Interval | None
    p: float | None


class PatchGroup(Part):
    """The uplift of CLICK among users with `from` to `to` planned sessions, or in the sessions `from` to `to`.

    `to` is None in the last group of sessions.
    """

    first: int = Field(alias="from")
    last: int | None = Field(alias="to")
    users: int
    click: Simple


class WorseUsers(Part):
    """Shares of the `users` that can be tested: worse and better with patches beyond chance, and what chance gives."""

    users: int
    worse: float
    better: float
    noise: float


class PatchGain(Part):
    """Patches against the same bucket without them, for the same users.

    Attributes:
        expected_clicks: uplift of the sum of the true click probabilities of what was shown. It has less noise than
            clicks.
        activity: three groups of users by planned sessions.
        sessions: by the number of a user's session.
        worse: users who lose and gain, by the expected clicks of their sessions.
    """

    expected_clicks: Simple
    activity: list[PatchGroup]
    sessions: list[PatchGroup]
    worse: WorseUsers


class Personal(Part):
    """What personal patches did in one bucket.

    Attributes:
        trainings: number of trainings, over all users.
        rejected: trainings after which the gate left the shared model, also if it rolled back the patch before.
        failed: trainings that were not possible, after which the user kept what was there.
        rolled_back: patches that were given up, because they were worse than the shared model on later events.
        patched_share: share of users who have a patch at the end.
        changed_share: share of orders that the shared model would have made otherwise.
        against: the bucket that differs only in having no patches.
        gain: the comparison with it, in the paired design.
    """

    trainings: int
    rejected: int
    failed: int
    rolled_back: int
    patched_share: float | None
    changed_share: float | None
    against: str | None
    gain: PatchGain | None


class Analysis(Part):
    """All statistics of an A/B test. `sample_ratio` and `aa` belong to the split design, `personal` to patches."""

    primary: str
    winsorised: Winsorised
    buckets: dict[str, Bucket]
    uplift: dict[str, MainUplift]
    comparisons: list[Comparison]
    positions: dict[str, list[PositionBin]]
    activity: list[ActivityGroup]
    power: dict[str, Power]
    sample_ratio: SampleRatio | None = None
    aa: AATest | None = None
    personal: dict[str, Personal] | None = None

    def to_document(self) -> dict[str, Any]:
        """Return the JSON document. Parts of the other design, and of patches if there are none, are left out."""
        parts = {name for name in ("sample_ratio", "aa", "personal") if getattr(self, name) is None}
        return self.model_dump(mode="json", by_alias=True, exclude=parts)
