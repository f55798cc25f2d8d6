from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerec.cloud.app import create_app
from edgerec.cloud.front.front import Front, no_fault
from edgerec.cloud.front.rates import Rate
from edgerec.cloud.front.settings import FrontSettings
from edgerec.cloud.front.tokens import Tokens
from edgerec.cloud.start import open_service
from edgerec.core.errors import ConfigurationError
from tests.cloud.asking import ask
from tests.cloud.front.test_tokens import OLD, PAGE, Clock


def test_a_rate_lets_its_number_through_and_then_one_each_step() -> None:
    clock = Clock()
    rate = Rate("20/second", clock=clock)
    assert [rate.wait("a") for _ in range(20)] == [0] * 20
    assert rate.wait("a") == 1
    assert rate.wait("b") == 0
    clock.now += 0.0501
    assert (rate.wait("a"), rate.wait("a")) == (0, 1)
    clock.now += 10
    assert [rate.wait("a") for _ in range(21)] == [0] * 20 + [1]
    slow = Rate("2/minute", clock=clock)
    assert [slow.wait("a") for _ in range(3)] == [0, 0, 30]


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 2.5)), min_size=1, max_size=80), st.integers(1, 5))
def test_a_rate_equals_a_bucket_for_each_key(steps: list[tuple[int, float]], most: int) -> None:
    """The keys that are forgotten must be those whose bucket is full."""
    clock = Clock()
    rate = Rate(f"{most}/second", clock=clock)
    buckets: dict[int, tuple[float, float]] = {}
    for key, pause in steps:
        clock.now += round(pause, 3)
        left, since = buckets.get(key, (float(most), clock.now))
        left = min(most, left + (clock.now - since) * most)
        allowed = left >= 1 - 1e-5
        assert (rate.wait(key) == 0) == allowed
        buckets[key] = (left - 1 if allowed else left, clock.now)


def test_users_who_went_away_are_forgotten() -> None:
    clock = Clock()
    rate = Rate("5/second", clock=clock)
    for user in range(10_000):
        rate.wait(user)
        clock.now += 0.001
    assert len(rate) <= 2001


def test_invented_users_cannot_fill_the_memory() -> None:
    clock = Clock()
    rate = Rate("2/day", clock=clock, most_keys=1000)
    assert [rate.wait("mine") for _ in range(2)] == [0, 0]
    for user in range(10_000):
        assert rate.wait(user) == 0
        assert rate.wait("mine") > 0  # Who is refused all the time is not forgotten.
        clock.now += 0.001
    assert len(rate) <= 1000
    assert rate.forgotten == 10_001 - len(rate)
    clock.now += 86_400
    assert (rate.wait("mine"), rate.wait("mine")) == (0, 0)


@pytest.mark.parametrize(
    "text", ["", "20", "0/second", "20/s", "1.5/second", "-1/minute", "20/second ", "9999999999/day"]
)
def test_another_rate_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="should be NUMBER/PERIOD"):
        Rate(text)


def test_who_asks_too_often_gets_429_and_when_to_come_back(logs: Path, tmp_path: Path) -> None:
    file, clock = tmp_path / "tokens", Clock()
    file.write_text(f"app {OLD}\nother other-{OLD}\n")
    front = Front(
        Tokens(file), token_rate=Rate("4/minute", clock=clock), user_rate=Rate("2/minute", clock=clock), metrics=True
    )
    app = create_app(open_service(logs), front=front)
    mine = {"authorization": f"Bearer {OLD}"}
    answers = [ask(app, "POST", "/v1/page", PAGE, **mine) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].headers["retry-after"] == "30"
    assert answers[2].json == {"error": "a user may make 2/minute requests: try again later"}
    assert ask(app, "POST", "/v1/page", {**PAGE, "user_id": 2}, **mine).status == 200
    limited = ask(app, "GET", "/v1/versions", **mine)
    assert (limited.status, limited.headers["retry-after"]) == (429, "15")
    assert limited.json == {"error": "this token may make 4/minute requests: try again later"}
    assert ask(app, "GET", "/v1/versions", authorization=f"Bearer other-{OLD}").status == 200
    # Without a token, no rate is used up, and health answers.
    assert ask(app, "GET", "/v1/health").status == 200


def test_the_rates_of_the_settings_limit_requests(logs: Path, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"app {OLD}\n")
    settings = FrontSettings(tokens=tmp_path / "tokens", token_rate="5/hour", user_rate="2/hour")
    with settings.open(no_fault) as front:
        app = create_app(open_service(logs, [bundle]), front=front)
        token = f"Bearer {OLD}"
        pages = [ask(app, "POST", "/v1/page", {**PAGE, "user_id": user}, authorization=token) for user in (1, 1, 1, 2)]
        assert [page.status for page in pages] == [200, 200, 429, 200]
        last = [ask(app, "GET", "/v1/versions", authorization=token).status for _ in range(2)]
        assert last == [200, 429]


def test_the_rate_of_a_user_covers_offers_of_models(logs: Path) -> None:
    app = create_app(open_service(logs), front=Front(user_rate=Rate("2/minute", clock=Clock()), metrics=True))
    body = {"user_id": 1, "store_id": 1}
    assert [ask(app, "POST", "/v1/model", body).status for _ in range(3)] == [200, 200, 429]
    assert ask(app, "POST", "/v1/model", {**body, "user_id": 2}).status == 200
    assert b"edgerec_forgotten_users_total 0.0" in ask(app, "GET", "/metrics").body
