"""Rules on what a record lists: claims, sources, references, corrections, names, digests. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator

from acclimate.report.evidence.ladder import is_grounded
from acclimate.report.evidence.rules import Finding, Reading, Rule

_UNSAID = ("", "not publicly specified", "not specified", "unspecified", "unknown", "none")


def claims_not_exposed(reading: Reading) -> Iterator[Finding]:
    """Find claims that are counted and cannot be read, and counts that are not those of the claims."""
    record = reading.record
    where = "provenance.claims_source"
    if record.provenance.claims_source.strip().lower() in _UNSAID:
        said = (
            f"Claims are counted ({record.counts.source_grounded} source-grounded), and where each can be "
            f"read is {record.provenance.claims_source!r}."
        )
        yield Finding(where, said, "List the claims in the manifest, each with what is behind it.")
    found = {
        "claims": len(record.claims),
        "source_grounded": sum(is_grounded(each) for each in record.claims),
        **{
            name: sum(each.standing == name for each in record.claims)
            for name in ("supported", "refuted", "open")
        },
    }
    for name, n in found.items():
        stated = getattr(record.counts, name)
        if stated is not None and stated != n:
            said = f"{stated} are counted and the manifest holds {n}."
            yield Finding(f"counts.{name}", said, f"Count {n}, or list the others.", str(stated))


def sources_not_listed(reading: Reading) -> Iterator[Finding]:
    """Find a number of retrieved documents that is not that of the sources."""
    provenance = reading.record.provenance
    search, n = provenance.search, len(provenance.sources)
    if search is not None and search.retrieved != n:
        yield Finding(
            "provenance.search.retrieved",
            f"{search.retrieved} documents were retrieved, {n} are listed as sources and "
            f"{len(provenance.references)} as references.",
            "List every retrieved document as a source, used or not.",
            str(search.retrieved),
        )


def reference_unused(reading: Reading) -> Iterator[Finding]:
    """Find references that nothing uses."""
    for at, each in enumerate(reading.record.provenance.references):
        if not each.claims and not each.use.strip():
            yield Finding(
                f"provenance.references[{at}]",
                f"No claim uses {each.where}, and nothing says what it is cited for.",
                "Name the claims that use it, or what else it is for, or take it out.",
                each.where,
            )


def corrections_without_chain(reading: Reading) -> Iterator[Finding]:
    """Find a count of corrections that no chain shows."""
    stated = reading.record.corrections
    if stated.head is None:
        yield Finding(
            "corrections.head",
            f"{stated.count} corrections are stated ({stated.status}) without the head of a chain.",
            "Keep corrections.jsonl and state the hash of its last line, 64 zeros where it has none.",
        )
    elif (stated.count == 0) != (stated.status == "CURRENT") or (stated.count == 0) != (
        stated.head == "0" * 64
    ):
        said = f"Status {stated.status}, count {stated.count} and head {stated.head[:16]}... do not agree."
        yield Finding("corrections", said, "Take all three from corrections.jsonl.", stated.status)


def name_unknown(reading: Reading) -> Iterator[Finding]:
    """Find ids that name nothing, and ids and paths that stand twice."""
    record = reading.record
    claim_ids = {each.id for each in record.claims}
    source_ids = {each.id for each in record.provenance.sources}
    used = [
        (f"provenance.references[{at}].claims", name, claim_ids)
        for at, each in enumerate(record.provenance.references)
        for name in each.claims
    ]
    if record.question.answer is not None:
        used += [("question.answer.claims", name, claim_ids) for name in record.question.answer.claims]
    for where, claim in reading.claims():
        used += [
            (f"{where}.passages[{at}].source", each.source, source_ids)
            for at, each in enumerate(claim.passages)
        ]
    for where, name, known in used:
        if name not in known:
            said = f"It names {name!r}, which the record does not list."
            yield Finding(where, said, "List it, or correct the name.", name)
    listed = {each.path: each.sha256 for each in record.files}
    for where, claim in reading.claims():
        if claim.proof is not None and listed.get(claim.proof.path) != claim.proof.sha256:
            said = f"{claim.proof.path} with the hash {claim.proof.sha256[:16]}... is not among the files."
            yield Finding(f"{where}.proof", said, "Render the record again.", claim.proof.path)
    yield from _twice("claims", (each.id for each in record.claims))
    yield from _twice("provenance.sources", (each.id for each in record.provenance.sources))
    yield from _twice("files", (each.path for each in record.files))
    yield from _twice("artifacts", (each.folder for each in record.artifacts))


def _twice(where: str, names: Iterable[str]) -> Iterator[Finding]:
    for name, n in Counter(names).items():
        if n > 1:
            yield Finding(where, f"{name!r} stands {n} times.", "Keep one of them.", name)


LISTING_RULES = (
    Rule(
        "claims_not_exposed",
        "Every counted claim is listed with what is behind it, and every count is that of the list.",
        "Seed 000 `Claim record source: not publicly specified`, `individual claim records are not exposed "
        "here`",
        claims_not_exposed,
    ),
    Rule(
        "sources_not_listed",
        "Every retrieved document is listed.",
        "Seed 001 `10 papers retrieved`, three references",
        sources_not_listed,
    ),
    Rule(
        "reference_unused",
        "Every reference says which claims use it, or what else it is for.",
        "Seed 001: two of three references have nothing to do with the text",
        reference_unused,
    ),
    Rule(
        "corrections_without_chain",
        "The count of corrections is shown by the head of a chain.",
        "Seed 000 `Correction count: 0`",
        corrections_without_chain,
    ),
    Rule(
        "name_unknown",
        "Every id and path names one thing, and names something.",
        "our own rule",
        name_unknown,
    ),
)
