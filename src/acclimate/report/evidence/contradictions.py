"""All rules on a record, in the order of docs/record.md, and the door that asks them. Pure."""

from collections.abc import Mapping
from typing import Any

from acclimate.report.evidence.digests import digest_problems
from acclimate.report.evidence.listing_rules import LISTING_RULES
from acclimate.report.evidence.record import Record
from acclimate.report.evidence.rules import Reading, Rule
from acclimate.report.evidence.shape import Problem, parsed
from acclimate.report.evidence.standing_rules import STANDING_RULES
from acclimate.report.evidence.wording_rules import WORDING_RULES

RULES: tuple[Rule, ...] = (*WORDING_RULES, *STANDING_RULES, *LISTING_RULES)


def check_record(data: Mapping[str, Any], *, texts: Mapping[str, str] | None = None) -> list[Problem]:
    """Return everything that may not stand in a record, by rule; nothing is found in a sound one.

    Faults of the shape come alone, since nothing else can be judged before they are mended. Whether files,
    artifacts and verdicts are what they are said to be is not judged here: that takes their bytes.

    Args:
        data: the manifest as JSON values.
        texts: whole texts of sources by name, where the reader has them, to find copied words in.
    """
    record = parsed(Record, dict(data))
    if isinstance(record, list):
        return record
    return [*digest_problems(data), *contradictions(record, texts=texts)]


def contradictions(record: Record, *, texts: Mapping[str, str] | None = None) -> list[Problem]:
    """Return what contradicts what in a record, in the order of `RULES`."""
    reading = Reading(record, texts or {})
    return [problem for rule in RULES for problem in rule.problems(reading)]
