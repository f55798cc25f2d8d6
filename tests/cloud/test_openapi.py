"""The OpenAPI description against the application, with few requests. `scripts/prove api` makes thousands of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from edgerec.cloud.app import create_app
from edgerec.cloud.front.front import Front
from edgerec.cloud.front.rates import Rate
from edgerec.cloud.front.tokens import Tokens
from edgerec.cloud.log_writer import LogWriter
from edgerec.cloud.start import open_service
from tests.cloud.asking import ask
from tests.cloud.front.test_tokens import OLD

VALID = {"Authorization": f"Bearer {OLD}"}


@pytest.fixture(scope="module")
def app(logs: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("openapi")
    (folder / "tokens").write_text(f"app {OLD}\n")
    service = open_service(logs, [bundle])
    front = Front(Tokens(folder / "tokens"), Rate("9999999/second"), Rate("9999999/second"), metrics=True)
    with LogWriter(folder / "out", [each.spec for each in service.versions], service.catalogue.items) as writer:
        yield create_app(service, writer, front=front)


def test_generated_requests_get_declared_answers(app: Any) -> None:
    document = ask(app, "GET", "/openapi.json", **VALID).json
    schema = schemathesis.openapi.from_dict(document)
    seen = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        seen.add(operation.path)

        @settings(max_examples=4, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy())
        def answers_as_declared(case: Any) -> None:
            body = b"" if isinstance(case.body, type(schemathesis.core.NOT_SET)) else json.dumps(case.body).encode()
            answer = ask(app, case.operation.method.upper(), case.operation.path, body, **VALID)
            declared = case.operation.definition.raw["responses"]
            assert answer.status < 500
            assert str(answer.status) in declared, (answer, declared.keys())
            kinds = declared[str(answer.status)].get("content", {})
            assert answer.headers["content-type"].partition(";")[0] in kinds, (answer, kinds)

        answers_as_declared()
    assert {"/v1/page", "/v1/items", "/v1/logs", "/v1/health", "/v1/ready", "/v1/versions", "/metrics"} <= seen


def test_each_answer_of_the_description_has_a_schema(app: Any) -> None:
    document = ask(app, "GET", "/openapi.json", **VALID).json
    for path, operations in document["paths"].items():
        for operation in operations.values():
            closed = path not in ("/v1/health", "/v1/ready")
            assert ("401" in operation["responses"]) == closed
            assert {"200", "500", "503"} <= set(operation["responses"])
            if "requestBody" in operation:
                assert {"400", "413", "422", "429"} <= set(operation["responses"])
            for status, answer in operation["responses"].items():
                assert answer["description"]
                # 304 is the only answer without a body.
                assert all(each["schema"] for each in answer.get("content", {}).values()), path
                assert ("content" in answer) == (status != "304"), (path, status)
    assert set(document["components"]["schemas"]) >= {"Error", "PageBody", "ItemsBody"}


def test_another_method_names_the_right_ones(app: Any) -> None:
    answer = ask(app, "DELETE", "/v1/page", **VALID)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_all_bounds_of_integers_are_inclusive(app: Any) -> None:
    """The routes describe the same bound in the same way."""
    schemas = ask(app, "GET", "/openapi.json", **VALID).json["components"]["schemas"]
    bounds = [schemas[name]["properties"]["store_id"] for name in ("PageBody", "ModelBody")]
    assert bounds[0]["maximum"] == bounds[1]["maximum"]
