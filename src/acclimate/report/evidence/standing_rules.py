"""Rules on what a record makes of itself: question, gate, dates, levels, tier, dimensions. Pure."""

from collections.abc import Iterator

from acclimate.records import Measurement
from acclimate.report.evidence.bearing import bears
from acclimate.report.evidence.dimensions import (
    CONFIDENCE,
    FLAGSHIP,
    dimensions_of,
    has_passage,
    mean_confidence,
    tier_of,
)
from acclimate.report.evidence.gate import ABSENT_CODES
from acclimate.report.evidence.ladder import NAMES, claim_level, record_level
from acclimate.report.evidence.record import ClaimEntry, Verdict
from acclimate.report.evidence.rules import Finding, Reading, Rule
from acclimate.report.tested import Claim, judge

_CODES = {
    "VERIFIED": ("reproduced", "proved"),
    "FAILED": ("not_reproduced", "proof_rejected"),
}


def question_not_answered(reading: Reading) -> Iterator[Finding]:
    """Find a question that gets no answer, or one that no claim gives."""
    record = reading.record
    answer = record.question.answer
    where = "question.answer"
    if answer is None:
        said = "The record asks a question and says neither an answer nor that it has none."
        yield Finding(where, said, "State the answer, or `not_answered` and why.")
        return
    if answer.status == "not_answered":
        return
    able = {each.id for each in record.claims if each.bears_on_question and each.standing != "open"}
    if not set(answer.claims) & able:
        said = f"The answer is `{answer.status}`, and no decided claim that bears on the question is named."
        yield Finding(where, said, "Name the claims it rests on, or state `not_answered`.", answer.sentence)


def claim_off_question(reading: Reading) -> Iterator[Finding]:
    """Find claims that are said to bear on the question and do not, or the other way round."""
    question = reading.record.question
    for where, claim in reading.claims():
        found, why = bears(claim.sentence, claim.measure, question)
        if claim.bears_on_question != found:
            denied = "" if claim.bears_on_question else "not "
            yield Finding(
                f"{where}.bears_on_question",
                f"The claim is said {denied}to bear on the question. {why}",
                "Mark it by what it is about, or ask the question that it answers.",
                claim.sentence,
            )


def reason_against_dates(reading: Reading) -> Iterator[Finding]:
    """Find a reason that the dates contradict."""
    record = reading.record
    if record.gate.verdict.code == "before_activation" and record.created >= record.gate.activated:
        yield Finding(
            "gate.verdict.reason",
            f"The reason is that the record is older than the gate, which was activated on "
            f"{record.gate.activated}; the record is of {record.created}.",
            "Give the true reason: `none_attempted` where nothing was attempted.",
            record.gate.verdict.reason,
        )


def created_against_artifacts(reading: Reading) -> Iterator[Finding]:
    """Find a date that is not that of the latest artifact."""
    record = reading.record
    ran = [each.ran for each in record.artifacts if each.ran is not None]
    if ran and record.created != max(ran):
        yield Finding(
            "created",
            f"The record is of {record.created}, its latest artifact was begun on {max(ran)}.",
            "Take the date from the artifacts.",
            record.created,
        )


def _verdicts(reading: Reading) -> Iterator[tuple[str, Verdict]]:
    yield "gate.verdict", reading.record.gate.verdict
    for where, claim in reading.claims():
        yield f"{where}.verdict", claim.verdict


def verdict_without_artifact(reading: Reading) -> Iterator[Finding]:
    """Find verdicts that name no artifact, and reasons of another verdict."""
    for where, verdict in _verdicts(reading):
        status, code = verdict.status, verdict.code
        if status != "UNVERIFIED" and verdict.artifact is None:
            said = f"The verdict is {status} and names no verification artifact."
            yield Finding(where, said, "Attach the artifact, or state UNVERIFIED with the reason.", code)
        fits = _CODES.get(status)
        known = {each for codes in _CODES.values() for each in codes}
        if (code in known) != (fits is not None) or (fits is not None and code not in fits):
            said = f"The verdict {status} and the reason `{code}` exclude each other."
            yield Finding(where, said, "Run the verification again; never write a verdict by hand.", code)


def attempts_against_verdict(reading: Reading) -> Iterator[Finding]:
    """Find a gate whose verdict does not fit its own list of attempts."""
    gate = reading.record.gate
    verdict = gate.verdict
    if gate.attempts and verdict.code in ABSENT_CODES:
        said = f"The reason is `{verdict.code}` and {len(gate.attempts)} attempts are listed."
        yield Finding("gate.attempts", said, "Run `acclimate verify` on the record.", verdict.code)
    if verdict.artifact is not None and verdict.artifact not in gate.attempts:
        said = f"The verdict rests on {verdict.artifact.path}, which is none of the gate's attempts."
        yield Finding("gate.attempts", said, "List every attempt, in order.", verdict.artifact.sha256)


def claim_beyond_gate(reading: Reading) -> Iterator[Finding]:
    """Find claims with an artifact that the gate does not know, or a verdict that their kind cannot have."""
    known = reading.record.gate.attempts
    for where, claim in reading.claims():
        artifact, status = claim.verdict.artifact, claim.verdict.status
        if artifact is not None and artifact not in known:
            said = f"The verdict {status} rests on {artifact.path}, which is none of the gate's attempts."
            yield Finding(f"{where}.verdict", said, "Run `acclimate verify` on the record.", artifact.sha256)
        elif claim.kind == "literature" and status != "UNVERIFIED":
            said = f"A claim about the literature has the verdict {status}; nothing can be reproduced there."
            yield Finding(f"{where}.verdict", said, "State UNVERIFIED with the reason `not_empirical`.")


def standing_against_interval(reading: Reading) -> Iterator[Finding]:
    """Find empirical claims that do not stand as their interval says."""
    for where, claim in reading.claims():
        if claim.kind != "empirical":
            continue
        lacks = [name for name in ("measure", "direction", "margin") if getattr(claim, name) is None]
        if lacks:
            said = f"An empirical claim has no {', '.join(lacks)}."
            yield Finding(where, said, "Give what it measures, the direction and the margin.")
            continue
        due = _due_standing(claim)
        if due != claim.standing:
            yield Finding(
                f"{where}.standing",
                f"The claim is stated as {claim.standing}; its interval, direction and margin say {due}.",
                f"State {due}.",
                claim.reason,
            )


def _due_standing(claim: ClaimEntry) -> str:
    asked = Claim(
        id=claim.id,
        sentence=claim.sentence[:1000],
        measure=claim.measure or "",
        direction=claim.direction or "higher",
        margin=claim.margin or 0.0,
    )
    found = claim.measurement
    if found is None:
        return judge(asked, None, claim.written).standing
    numbers = Measurement(
        asked.measure,
        found.value,
        found.low,
        found.high,
        found.n,
        found.n_clusters,
        found.coverage,
        found.method,
    )
    return judge(asked, numbers, claim.written).standing


def standing_without_ground(reading: Reading) -> Iterator[Finding]:
    """Find claims that are supported or refuted by nothing that the record holds."""
    for where, claim in reading.claims():
        if claim.standing == "open":
            continue
        if claim.kind == "literature" and not has_passage(reading.record, claim):
            lack = "no passage from a source that the record lists"
        elif claim.kind == "mathematical" and claim.verdict.status != "VERIFIED":
            lack = f"no proof that was checked (its verdict is {claim.verdict.status})"
        else:
            continue
        said = f"The claim is stated as {claim.standing} and has {lack}."
        yield Finding(f"{where}.standing", said, "State open, or add what it rests on.", claim.reason)


def level_by_ladder(reading: Reading) -> Iterator[Finding]:
    """Find claims and records on a rung that they do not stand on."""
    record = reading.record
    for where, claim in reading.claims():
        due = claim_level(claim)
        if claim.level != due:
            yield Finding(
                f"{where}.level",
                f"The claim is stated on {claim.level} ({NAMES[claim.level]}) and stands on {due} "
                f"({NAMES[due]}): {len(claim.passages)} passages, "
                f"{'a' if claim.measurement else 'no'} measurement, verdict {claim.verdict.status}.",
                f"State {due}, or add what is missing.",
                claim.level,
            )
    found = record_level(record)
    if record.level not in (found, "L4"):
        said = f"The record is stated on {record.level}; its lowest claim stands on {found}."
        yield Finding("level", said, f"State {found}.", record.level)


def archived_without_digest(reading: Reading) -> Iterator[Finding]:
    """Find registrations of nothing, and L4 without one."""
    record = reading.record
    registration = record.registration
    remedy = "Register the record's digest and state where and which, or leave the registration out."
    if registration is not None and registration.digest is None:
        said = f"An external record is stated ({registration.where}) without the digest that it holds."
        yield Finding("registration.digest", said, remedy)
    elif record.level == "L4" and record_level(record) != "L4":
        held = "none" if registration is None else str(registration.digest)
        said = (
            f"The level is L4; that takes L3 and this record's digest registered elsewhere (there: {held})."
        )
        yield Finding("level", said, f"State {record_level(record)}. {remedy}", record.level)


def two_levels(reading: Reading) -> Iterator[Finding]:
    """Find a second level beside the record's."""
    record = reading.record
    other = record.provenance.level
    if other is not None and other != record.level:
        bare = record.registration is None or record.registration.digest is None
        tail = ", and no digest is registered anywhere" if bare else ""
        yield Finding(
            "provenance.level",
            f"The record is on {record.level} ({NAMES[record.level]}) and its provenance on {other} "
            f"({NAMES[other]}){tail}.",
            "State one level, the record's.",
            other,
        )


def high_reproducibility(reading: Reading) -> Iterator[Finding]:
    """Find HIGH reproducibility where nothing was reproduced."""
    verdict = reading.record.gate.verdict
    if reading.record.dimensions.reproducibility_status.grade == "HIGH" and verdict.status != "VERIFIED":
        yield Finding(
            "dimensions.reproducibility_status",
            f"Reproducibility is HIGH and the gate's verdict is {verdict.status} ({verdict.code}).",
            "Run `acclimate verify`, or state the grade that the rule gives.",
            "HIGH",
        )


def dimension_without_basis(reading: Reading) -> Iterator[Finding]:
    """Find grades without a rule or without the values that it was given."""
    for name, each in reading.record.dimensions:
        if not each.rule or not each.values:
            said = f"The grade {each.grade} stands without the rule and the values that gave it."
            yield Finding(f"dimensions.{name}", said, "Give both; docs/record.md has the rules.", each.grade)


def dimension_by_rule(reading: Reading) -> Iterator[Finding]:
    """Find grades that the published rule does not give; those that other rules name are left to them."""
    due = dict(dimensions_of(reading.record))
    named = {each.where for rule in (high_reproducibility, dimension_without_basis) for each in rule(reading)}
    for name, each in reading.record.dimensions:
        where = f"dimensions.{name}"
        if where not in named and each != due[name]:
            said = (
                f"Stated are {each.grade} from {dict(each.values)}; the published rule gives "
                f"{due[name].grade} from {due[name].values}."
            )
            yield Finding(where, said, "Take grade, rule and values from the record as it is.", each.grade)


def tier_without_thresholds(reading: Reading) -> Iterator[Finding]:
    """Find tiers whose basis does not state its thresholds."""
    tier = reading.record.tier
    open_rules = [each.rule for each in tier.basis if each.threshold is None or each.value is None]
    if open_rules or not tier.basis:
        which = ", ".join(open_rules) or "no rule"
        yield Finding(
            "tier.basis",
            f"The tier {tier.name!r} is said to meet thresholds that are not given ({which}).",
            "State every rule with its value and its threshold.",
            tier.name,
        )


def tier_beside_low_confidence(reading: Reading) -> Iterator[Finding]:
    """Find the highest tier beside confidences that say the claims are more likely wrong than right."""
    mean = mean_confidence(reading.record)
    name = reading.record.tier.name
    if mean is not None and mean < CONFIDENCE and name.lower() == FLAGSHIP:
        yield Finding(
            "tier.name",
            f"The tier is {name!r} and the mean confidence of the claims is {mean:.4f}, below {CONFIDENCE}.",
            "State the tier that the published rules give.",
            name,
        )


def tier_by_rule(reading: Reading) -> Iterator[Finding]:
    """Find a tier that the published rules do not give; what other rules name is left to them."""
    stated, due = reading.record.tier, tier_of(reading.record)
    if _is_named(reading):
        return
    if (stated.name, stated.basis) != (due.name, due.basis):
        said = f"Stated is {stated.name!r}; the published rules give {due.name!r} from the record as it is."
        yield Finding("tier", said, "Take tier and basis from the record as it is.", stated.name)


def _is_named(reading: Reading) -> bool:
    rules = (tier_without_thresholds, tier_beside_low_confidence)
    return any(next(rule(reading), None) for rule in rules)


STANDING_RULES = (
    Rule(
        "question_not_answered",
        "The record answers its question by decided claims that bear on it, or says that it does not.",
        "Seeds 000 and 001: how VRS compares is asked; eight claims on something else are given",
        question_not_answered,
    ),
    Rule(
        "claim_off_question",
        "A claim bears on the question where its measurement is one that would answer it, or where its "
        "sentence names such a quantity, and nowhere else.",
        "Seed 001: no claim mentions VRS",
        claim_off_question,
    ),
    Rule(
        "reason_against_dates",
        "`before_activation` is a reason only for a record that is older than the gate.",
        "Seed 000 `Published before the Gate 2 verification pipeline was activated (2026-06-10)`; seed 001 "
        "is of `June 11, 2026`",
        reason_against_dates,
    ),
    Rule(
        "created_against_artifacts",
        "A record's date is the last day on which one of its artifacts was begun.",
        "our own rule",
        created_against_artifacts,
    ),
    Rule(
        "verdict_without_artifact",
        "VERIFIED and FAILED name their artifact, and each verdict has a reason of its own kind.",
        "Seed 000 `VERIFIED requires an attached reproducible artifact`",
        verdict_without_artifact,
    ),
    Rule(
        "attempts_against_verdict",
        "The gate lists every attempt; its verdict rests on one of them, or says why there is none.",
        "our own rule",
        attempts_against_verdict,
    ),
    Rule(
        "claim_beyond_gate",
        "A claim's artifact is one of the gate's, and a claim about the literature has no verdict.",
        "our own rule",
        claim_beyond_gate,
    ),
    Rule(
        "standing_against_interval",
        "An empirical claim stands as its interval, direction and margin say.",
        "our own rule",
        standing_against_interval,
    ),
    Rule(
        "standing_without_ground",
        "A claim about the literature is decided by a passage from a listed source, a mathematical one by a "
        "checked proof.",
        "Seed 001: eight ticks, no passage",
        standing_without_ground,
    ),
    Rule(
        "level_by_ladder",
        "Claims and record stand on the rung that the ladder gives.",
        "Seed 000 `L2, Source-grounded claims` with no passage; the ladder is our own",
        level_by_ladder,
    ),
    Rule(
        "archived_without_digest",
        "A registration names the registered digest; L4 takes L3 and this record's digest.",
        "Seed 000 `L4, External archival record`, `Registered`",
        archived_without_digest,
    ),
    Rule(
        "two_levels",
        "A record has one level.",
        "Seed 000 `L2` of the paper beside `L4` of its provenance",
        two_levels,
    ),
    Rule(
        "high_reproducibility",
        "Reproducibility is HIGH only where the gate is VERIFIED.",
        "Seed 000 `HIGH` beside `No formal proof or sandbox reproduction has been attempted`",
        high_reproducibility,
    ),
    Rule(
        "dimension_without_basis",
        "Each grade has its rule and the values that the rule was given.",
        "Seed 000: four grades, no rule",
        dimension_without_basis,
    ),
    Rule(
        "dimension_by_rule",
        "Each grade is the one that the published rule gives.",
        "our own rule",
        dimension_by_rule,
    ),
    Rule(
        "tier_without_thresholds",
        "A tier states every rule with its value and threshold.",
        "Seed 000 `meet flagship-candidate thresholds`",
        tier_without_thresholds,
    ),
    Rule(
        "tier_beside_low_confidence",
        f"No record of the highest tier has a mean confidence below {CONFIDENCE}.",
        "Seed 000 `Flagship candidate`; seed 001: mean confidence .3475",
        tier_beside_low_confidence,
    ),
    Rule(
        "tier_by_rule",
        "The tier is the one that the published rules give.",
        "our own rule",
        tier_by_rule,
    ),
)
