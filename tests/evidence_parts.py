"""A small measured record and verification results, for tests of the evidence record."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acclimate.records import Measurement
from acclimate.report.evidence.assemble import Contents, assemble, empirical, mathematical
from acclimate.report.evidence.digests import record_json, sealed, subject_digest
from acclimate.report.evidence.dimensions import dimensions_of, tier_of
from acclimate.report.evidence.gate import Attachment
from acclimate.report.evidence.record import (
    ArtifactEntry,
    ArtifactRef,
    CodeEntry,
    Environment,
    FileEntry,
    Input,
    Provenance,
    Question,
    Record,
    Source,
)
from acclimate.report.evidence.shape import parsed
from acclimate.report.tested import Claim, judge

RECORDS = Path(__file__).parent / "records"
GAIN = "macro/adapted-base/original"
VRS = "macro/adapted-base/vrs"
ENVIRONMENT = Environment(python="3.11.9", platform="Linux", packages={"torch": "2.13.0"})


def read(name: str) -> dict[str, Any]:
    return json.loads((RECORDS / name).read_text(encoding="utf-8"))


def measured(key: str, low: float, high: float, n_clusters: int = 40) -> Measurement:
    return Measurement(key, (low + high) / 2, low, high, 80, n_clusters, 1.0, "cluster_bootstrap", p=0.01)


def contents(**changes: Any) -> Contents:
    """Three claims: one supported that bears on the question, one refuted that does not, one to be proved."""
    question = Question(text="Does post-training raise the score?", measures=(GAIN,))
    gain = Claim(id="gain", sentence="The adapted model scores higher.", measure=GAIN)
    looks = Claim(id="looks", sentence="It relies more on the picture.", measure=VRS, margin=0.02)
    claims = (
        empirical(judge(gain, measured(GAIN, 0.02, 0.08), "before"), question),
        empirical(judge(looks, measured(VRS, -0.01, 0.01), "before"), question),
        mathematical("identity", "VRS is VBR minus VDR.", "theorem vrs : v = b - d", question),
    )
    given: dict[str, Any] = {
        "title": "A lab run",
        "question": question,
        "claims": claims,
        "provenance": Provenance(
            publisher="acclimate",
            note="Measured here.",
            sources=(Source(id="lab", title="The lab's pairs", licence="Apache-2.0", sha256="a" * 64),),
            licences=("Apache-2.0",),
            inputs=(Input(role="pairs", sha256="a" * 64, n=80),),
        ),
        "limits": ("One seed of training.",),
        "artifacts": (
            ArtifactEntry(
                step="train", folder="artifacts/train/1", fingerprint="b" * 64, files={"x": "c" * 64},
                ran="2026-11-20",
            ),
            ArtifactEntry(
                step="evaluate", folder="artifacts/evaluate/1", fingerprint="d" * 64,
                files={"scores.parquet": "e" * 64}, ran="2026-11-21",
            ),
        ),
        "files": (FileEntry(path="index.html", sha256="f" * 64, bytes=10),),
        "code": CodeEntry(version="0.1.0", source_sha256="1" * 64),
        "environment": ENVIRONMENT,
        "seeds": {"train": 0},
    }  # fmt: skip
    return Contents(**{**given, **changes})


def check(name: str, *claims: str, expected: float = 0.5, found: float = 0.5) -> dict[str, Any]:
    ok = abs(found - expected) <= 0.01
    return {
        "name": name, "claims": list(claims), "expected": expected, "found": found, "tolerance": 0.01,
        "ok": ok,
    }  # fmt: skip


SOUND = (check("gain again", "gain"), check("reliance again", "looks"))


def result(record: Record, *checks: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """What a verification of the record writes; all of its checks hold unless others are given."""
    listed = list(checks) or list(SOUND)
    return {
        "contract": "acclimate-verification/v1",
        "kind": "sandbox",
        "depth": "score",
        "subject": subject_digest(record),
        "commands": ["acclimate score"],
        "isolation": ["user", "mount", "network"],
        "started": "2026-11-22T04:00:00Z",
        "ended": "2026-11-22T04:00:07Z",
        "environment": ENVIRONMENT.model_dump(mode="json"),
        "inputs": [{"role": "predictions", "sha256": "e" * 64, "n": 80}],
        "checks": listed,
        "success": all(each["ok"] for each in listed),
        "log_sha256": "2" * 64,
        **changes,
    }


def attached(data: Mapping[str, Any], n: int = 1) -> Attachment:
    content = json.dumps(data).encode()
    digest = hashlib.sha256(content).hexdigest()
    return Attachment(ArtifactRef(path=f"verification/{n}/result.json", sha256=digest), content)


def whole() -> Record:
    """The measured record before any verification."""
    return assemble(contents())


def derived(data: Mapping[str, Any]) -> dict[str, Any]:
    """The record's data with tier and dimensions by the rules, sealed."""
    record = parsed(Record, dict(data))
    assert isinstance(record, Record), record
    update = {"tier": tier_of(record), "dimensions": dimensions_of(record)}
    return sealed(record_json(record.model_copy(update=update)))
