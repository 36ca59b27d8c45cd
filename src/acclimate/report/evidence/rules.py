"""What a rule is: a name, what it says, where it is from, and what finds its breaches. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from acclimate.report.evidence.record import ClaimEntry, Record
from acclimate.report.evidence.shape import Problem


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a record breaks a rule, and how."""

    where: str
    sentence: str
    remedy: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """A record under judgement, and what the reader holds beside it."""

    record: Record
    texts: Mapping[str, str] = field(default_factory=dict)
    """Whole texts of sources, by name, to find copied words in; may be empty."""

    def claims(self) -> Iterator[tuple[str, ClaimEntry]]:
        """Yield every claim with its path."""
        for at, each in enumerate(self.record.claims):
            yield f"claims[{at}]", each


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that no record may say."""

    name: str
    statement: str
    source: str
    """The seed's wording that breaks it, or `our own rule`."""
    find: Callable[[Reading], Iterator[Finding]]

    def problems(self, reading: Reading) -> list[Problem]:
        """Return everything in the record that breaks the rule."""
        return [
            Problem(self.name, each.where, each.sentence, each.remedy, each.value[:200])
            for each in self.find(reading)
        ]
