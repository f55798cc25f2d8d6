"""Warnings: what `edgerec samples` accepts, but what spoils a model (docs/your-logs.md)."""

from __future__ import annotations

import numpy as np

from edgerec.core.errors import InputError
from edgerec.data.check import thresholds
from edgerec.data.check.columns import ColumnCounts
from edgerec.data.check.findings import Findings
from edgerec.data.check.scan import Counts
from edgerec.data.check.users import UserCounts
from edgerec.data.logs import LogsHead
from edgerec.data.samples_plan import VALIDATION_FRACTION, periods
from edgerec.data.schema import CLICKED, EVENTS, ITEM_ID, KIND, REQUESTS, TIME, USER_ID
from edgerec.features.behaviours import BEHAVIOUR_KINDS, Limits
from edgerec.features.kinds.bucketize import Bucketize
from edgerec.features.kinds.one_hot import OneHot

LEAST = thresholds.LEAST


def warn_of_labels(findings: Findings, counts: Counts) -> None:
    """Warn if labels reveal the end of their request, or if lists or labels are missing."""
    labels = counts.labels
    if findings.has_error(REQUESTS, CLICKED) or not labels.requests:
        return
    if labels.several >= LEAST:
        last, other = labels.last_clicks / labels.several, labels.other_clicks / labels.other_labels
        if last >= thresholds.LAST_LABEL_RATE and last >= thresholds.LAST_LABEL_RATIO * other:
            findings.warn(
                REQUESTS,
                CLICKED,
                expected="the last label of a request is clicked about as often as the others",
                found=f"the last label is clicked in {last:.0%}, the others in {other:.0%}",
                advice="the model would learn where requests end, and nothing improves on the device; end requests by "
                'a rule that does not depend on clicks (docs/your-logs.md, "Label leakage")',
                rows=labels.last_clicks,
            )
    if labels.labelled >= LEAST and labels.with_click / labels.labelled >= thresholds.ALWAYS_CLICKED:
        findings.warn(
            REQUESTS,
            CLICKED,
            expected="some lists without a click",
            found=f"{labels.with_click:,} of {labels.labelled:,} lists with labels have a click",
            advice="lists without a click seem to be missing, so scores are no probabilities; write every list, or "
            'set listwise = 1.0 (docs/your-logs.md, "If lists are logged only with their click")',
            rows=labels.with_click,
        )
    if labels.labelled >= LEAST and labels.both / labels.labelled < thresholds.BOTH_LABELS:
        findings.warn(
            REQUESTS,
            CLICKED,
            expected="requests with both a clicked and an unclicked exposure",
            found=f"{labels.both:,} of {labels.labelled:,} requests with labels",
            advice="GAUC compares these two within a request, and `edgerec train` and `edgerec evaluate` stop if there "
            "is none; check that a request has the whole list, and that each click is a label of its request",
            rows=labels.labelled - labels.both,
        )
    if labels.labels >= LEAST and labels.clicks / labels.labels > thresholds.CLICK_RATE:
        findings.warn(
            REQUESTS,
            CLICKED,
            expected=f"a click rate of at most {thresholds.CLICK_RATE:.0%}",
            found=f"{labels.clicks / labels.labels:.0%} of {labels.labels:,} labels are 1",
            advice="items that were exposed and not clicked seem to be missing, and they teach as much as clicks; "
            'write 0 for them (docs/your-logs.md, "Labels")',
            rows=labels.with_click,
        )
    without = labels.requests - labels.labelled
    if labels.requests >= LEAST and without / labels.requests > thresholds.WITHOUT_EXPOSURE:
        findings.warn(
            REQUESTS,
            CLICKED,
            expected="requests with an exposed candidate",
            found=f"{without:,} of {labels.requests:,} requests have only nulls",
            advice="a request without an exposure teaches nothing, and it may show that labels were lost; label the "
            "exposures, or leave such requests out",
            rows=without,
        )


def warn_of_columns(findings: Findings, counts: Counts) -> None:
    """Warn of columns that say nearly nothing to the model."""
    for column in counts.columns.values():
        if not findings.has_error(column.table, column.feature.source) and column.rows:
            _warn_of_column(findings, column)


def _warn_of_column(findings: Findings, column: ColumnCounts) -> None:
    feature, present = column.feature, column.rows - column.nulls
    what = f"{feature.kind} {feature.name}"
    if column.rows >= LEAST and column.nulls / column.rows > thresholds.NULLS:
        findings.warn(
            column.table,
            feature.source,
            expected=f"values in most rows ({what})",
            found="only nulls" if not present else f"{column.nulls / column.rows:.1%} nulls",
            advice="the feature is nearly always missing, so it teaches nothing; look for the fault in the script, or "
            "remove the feature",
        )
        return
    if present < LEAST:
        return
    if isinstance(feature, OneHot) and column.codes[0] / present > thresholds.UNLISTED and column.unlisted:
        value, file, row = column.unlisted
        findings.warn(
            column.table,
            feature.source,
            expected=f"mostly listed values ({what})",
            found=f"{column.codes[0] / present:.0%} of the values are not listed, for example {value}",
            advice="a value that is not listed is encoded as missing; list it, or write it as the specification does",
            place=(file, row),
        )
    if isinstance(feature, Bucketize) and column.codes.max() / present > thresholds.ONE_BUCKET:
        findings.warn(
            column.table,
            feature.source,
            expected=f"values in several buckets ({what})",
            found=f"{column.codes.max() / present:.1%} of the values are in the bucket {_bucket(column)}",
            advice="nearly all values have the same code, so the feature teaches nothing; put boundaries near the "
            "quantiles of the values, and check their unit",
        )
    if column.lists >= LEAST and not column.varied:
        findings.warn(
            column.table,
            feature.source,
            expected=f"values that differ within a list ({what})",
            found=f"one value for all candidates in each of {column.lists:,} lists",
            advice="a score that is the same for all candidates cannot order them; write each candidate's own value, "
            "or make it a feature of the context",
        )


def _bucket(column: ColumnCounts) -> str:
    assert isinstance(column.feature, Bucketize)
    code = int(column.codes.argmax())
    bounds = [-np.inf, *column.feature.boundaries, np.inf]
    return f"{bounds[code - 1]:g} to {bounds[code]:g}"


def warn_of_times(findings: Findings, counts: Counts, head: LogsHead) -> None:
    """Warn of times in whole seconds, and of periods without requests."""
    whole = [
        table
        for table in (EVENTS, REQUESTS)
        if table in counts.first
        and counts.whole_seconds[table]
        and counts.rows[table] >= LEAST
        and not findings.has_error(table, TIME)
    ]
    if whole:
        findings.warn(
            whole[-1],
            TIME,
            expected="times in milliseconds",
            found=f"all times of {' and '.join(whole)} are whole seconds",
            advice="a request may lose the behaviour that triggered it, which is the most important one; write "
            'milliseconds, or use order_within_seconds (docs/your-logs.md, "Whole seconds")',
        )
    if findings.has_error(REQUESTS, TIME) or not counts.rows[REQUESTS]:
        return
    times = np.sort(counts.times.values())
    try:
        periods(times, head.test_from, VALIDATION_FRACTION)
    except InputError as error:
        findings.warn(
            REQUESTS,
            TIME,
            expected="requests before and in the test period",
            found=str(error).removeprefix("samples: ").partition("; at least")[0].partition(": choose")[0],
            advice="without a test period nobody knows what the model is worth, and `edgerec samples` stops unless "
            "--test-from or --like is given; correct test_from in logs.json, or give --test-from",
        )


def warn_of_lists(findings: Findings, counts: Counts) -> None:
    """Warn of lists that are longer than samples have by default."""
    limit = Limits().candidates
    if counts.longest > limit:
        findings.warn(
            REQUESTS,
            ITEM_ID,
            expected=f"at most {limit} candidates in a list",
            found=f"a list of {counts.longest:,}",
            advice=f"`edgerec samples` stops unless --candidates is at least {counts.longest} (at most 1000), and a "
            "re-rank takes longer; raise it, or offer fewer items",
        )


def warn_of_items(findings: Findings, counts: Counts) -> None:
    """Warn if users often see or open items that no request offers."""
    if findings.has_error(REQUESTS, ITEM_ID) or findings.has_error(EVENTS, ITEM_ID) or not counts.offered.any():
        return
    for kind in BEHAVIOUR_KINDS:
        behaviours = counts.behaviours[kind.name]
        every, never = int(behaviours.sum()), int(behaviours[~counts.offered].sum())
        plural = kind.plural.replace("_", "-")
        if every >= LEAST and never / every > thresholds.NEVER_OFFERED[kind.name]:
            findings.warn(
                EVENTS,
                ITEM_ID,
                expected=f"{plural} of items that a request offers",
                found=f"{never:,} of {every:,} {plural} are of items that no request offers",
                advice="the lists that showed these items seem to be missing, or the two tables number items in "
                "different ways; write all lists, and use the same IDs (page-views from "
                "search or a history are no fault)",
                rows=never,
            )


def warn_of_users(findings: Findings, users: UserCounts) -> None:
    """Warn of what only all rows of a user show."""
    if users.requests >= LEAST and users.same_time / users.requests > thresholds.SAME_TIME:
        findings.warn(
            REQUESTS,
            TIME,
            expected="a later time than that of the behaviour that triggered the request",
            found=f"{users.same_time:,} of {users.requests:,} requests share the time of a behaviour of their user",
            advice="a request knows only behaviours with a smaller time, so it loses this one; take the time of the "
            'behaviour first (docs/your-logs.md, "When a behaviour is known")',
            rows=users.same_time,
        )
    if users.exposures >= LEAST and users.unlabelled / users.exposures > thresholds.UNLABELLED:
        findings.warn(
            EVENTS,
            KIND,
            expected="exposures that label a request of their user",
            found=f"{users.unlabelled:,} of {users.exposures:,} exposures are of items that no request of the user "
            "labels",
            advice="labels are missing for a reason, and the model learns only from the others; write the ID of the "
            'list with each action (docs/your-logs.md, "Labels")',
            rows=users.unlabelled,
        )
    if users.users >= LEAST and users.one_request / users.users > thresholds.ONE_REQUEST:
        findings.warn(
            REQUESTS,
            USER_ID,
            expected="users with several requests",
            found=f"{users.one_request:,} of {users.users:,} users have only one request",
            advice="the model reads what a user did before, and these users did little; check that user_id is the "
            "same in all sessions of a user, or log a longer time",
            rows=users.one_request,
        )
