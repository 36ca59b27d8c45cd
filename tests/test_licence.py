"""Licences of folders and command lines are read by the one table that cards are made by."""

from pathlib import Path

import pytest

from acclimate.errors import UsageError
from acclimate.licences import (
    NOT_DERIVED,
    checked_licence,
    derived_licence,
    head_of,
    licence_of,
    named_licence,
)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: apache-2.0-and-mit\n---\n", "apache-2.0-and-mit"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\ntags: [x]\n---\nlicense: mit\n", ""),
        ("---\nlicense: [mit, apache-2.0]\n---\n", ""),
        ("---\n: [\n---\n", ""),
        ("# license: mit\n", ""),
    ],
)
def test_a_folders_licence_is_what_its_cards_head_names(tmp_path: Path, card: str, licence: str) -> None:
    assert licence_of(tmp_path) == ""
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    assert licence_of(tmp_path) == licence


def test_a_licence_of_several_that_we_wrote_is_read_again_as_those() -> None:
    first = derived_licence(["MIT"], base_model="apache-2.0")
    assert (first.licence, first.printed) == ("other", "apache-2.0-and-mit")
    second = derived_licence(["CC-BY-NC-4.0"], base_model=first.printed)
    assert (second.licence, second.is_refused) == ("cc-by-nc-4.0", False)
    assert set(second.parts) == {"apache-2.0", "mit", "cc-by-nc-4.0"}
    assert derived_licence(["mit-and-share"], base_model=None).is_refused


def test_a_model_of_a_base_without_a_licence_is_given_none() -> None:
    assert derived_licence(["MIT"], base_model=NOT_DERIVED).reason.startswith("The base model states no")


def test_the_remedy_of_a_refusal_is_the_callers() -> None:
    found = derived_licence([""], base_model=None, names=["vision encoder"], remedy="Ask its makers.")
    assert found.reason == "The source “vision encoder” states no licence. Ask its makers."


def test_a_head_has_only_the_fields_that_say_something() -> None:
    assert head_of(named_licence("MIT")) == {"license": "mit"}
    own = named_licence("Acme v2", "LICENSE")
    assert head_of(own) == {"license": "other", "license_name": "acme-v2", "license_link": "LICENSE"}


@pytest.mark.parametrize("given", ["apache-2.0", "CC BY 4.0", "Gemma", "apache-2.0-and-mit", "cc-by-sa"])
def test_a_licence_of_the_table_can_be_named_in_any_spelling(given: str) -> None:
    assert checked_licence(given) == given


def test_a_licence_of_ones_own_is_named_as_such() -> None:
    assert named_licence(checked_licence("other: Acme Research v2")).name == "acme-research-v2"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("apche-2.0", r"Did you mean apache-2\.0\?"),
        ("proprietary", r"other:NAME"),
        ("", "is no licence"),
        ("other", "is no licence"),
        ("other:", "is no licence"),
        ("unknown", "is no licence"),
        ("not-derived", "is no licence"),
    ],
)
def test_what_is_no_licence_cannot_be_named(given: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        checked_licence(given)
