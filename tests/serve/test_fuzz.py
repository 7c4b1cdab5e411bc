"""The API against its own description: what it allows, what it forbids, and what nobody would send."""

from __future__ import annotations

from typing import TYPE_CHECKING

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig

from materium.serve.app import create_app
from serving import ADDRESS

if TYPE_CHECKING:
    from starlette.testclient import TestClient

EXAMPLES = 12
"""For each operation; more find nothing more and take longer."""

REFUSED = ["400", "401", "403", "404", "405", "413", "422", "429"]
"""What is against the description must end so; what is as described may, for a formula is more than a text."""
CHECKS = {
    "positive_data_acceptance": {"expected-statuses": ["2xx", *REFUSED, "501"]},
    "negative_data_rejection": {"expected-statuses": REFUSED},
}

description = schemathesis.openapi.from_dict(
    create_app(load_model=False).openapi(),
    config=SchemathesisConfig.from_dict({"base-url": ADDRESS, "checks": CHECKS}),
)


@description.parametrize()
@settings(
    max_examples=EXAMPLES,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_described(case: schemathesis.Case, small: TestClient) -> None:
    """No answer is a failure of the server, and each has a status, a type and a form that the description names."""
    sent = case.as_transport_kwargs(base_url=ADDRESS)
    body = {"content" if name == "data" else name: sent[name] for name in ("json", "data", "params") if name in sent}
    answer = small.request(sent["method"], sent["url"], headers=sent["headers"], **body)
    case.validate_response(answer)
