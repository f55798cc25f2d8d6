"""When a share in the logs is so unusual that `edgerec check` warns."""

from __future__ import annotations

LEAST = 20
"""A share of fewer rows, lists or users is chance. No warning is made of it."""

LAST_LABEL_RATE = 0.3
LAST_LABEL_RATIO = 3.0
"""The last label of requests leaks the end of the request if it is clicked at least this often, and this many times as
often as the other labels."""

ALWAYS_CLICKED = 0.99
"""Share of lists with a click from which lists without a click seem to be missing."""

BOTH_LABELS = 0.01
"""Share of the requests with labels that have both a clicked and an unclicked exposure, below which hardly any request
shows what the user prefers."""

CLICK_RATE = 0.5
"""Click rate of the exposed candidates above which labels are suspicious."""

UNLISTED = 0.5
"""Share of the values that a `one_hot` does not list, above which most values have the code of missing values."""

NULLS = 0.95
"""Share of nulls above which a column says nearly nothing."""

ONE_BUCKET = 0.95
"""Share of the values in one bucket of a `bucketize` above which the feature says nearly nothing."""

SAME_TIME = 0.01
"""Share of requests that share the time of a behaviour of their user, above which behaviours are lost."""

WITHOUT_EXPOSURE = 0.05
"""Share of requests without any exposure above which much of the logs teaches nothing."""

NEVER_OFFERED = {"exposure": 0.05, "page_view": 0.5}
"""Share of the behaviours of a kind on items that no request offers, above which requests or IDs are wrong. Page-views
also come from search and from history."""

UNLABELLED = 0.05
"""Share of exposures that label no request of their user, above which labels are missing."""

ONE_REQUEST = 0.5
"""Share of users with only one request above which models of behaviour have little to read."""
