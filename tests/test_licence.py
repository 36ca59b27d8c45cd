"""A model's licence is derived from its parts, or not at all."""

import pytest

from acclimate.train.licence import derived_licence


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (["apache-2.0", "apache-2.0"], "apache-2.0"),
        (["Apache-2.0", "MIT"], "apache-2.0"),
        (["mit", "cc-by-4.0", "apache-2.0"], "cc-by-4.0"),
        (["apache-2.0", "cc-by-nc-4.0"], "cc-by-nc-4.0"),
        (["llama3.2", "llama3.2"], "llama3.2"),
        (["llama3.2", "cc-by-4.0"], None),
        (["cc-by-sa-4.0", "cc-by-nc-4.0"], None),
        (["apache-2.0", None], None),
        (["apache-2.0", "unknown"], None),
        ([], None),
    ],
)
def test_the_licence_is_the_strictest_of_those_that_can_be_ordered(
    licences: list[str | None], expected: str | None
) -> None:
    assert derived_licence(licences) == expected
