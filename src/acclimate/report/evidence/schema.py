"""The published JSON Schemas (draft 2020-12): the models' own, and the rules that a schema can express. Pure.

`record-v1.schema.json` and `verification-v1.schema.json` beside this module are what `schema_text` gives; a
test compares. A schema sees one place at a time: dates, counts, digests, copied words and whatever else
compares two places is left to `contradictions`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from acclimate.report.evidence.gate import ABSENT_CODES
from acclimate.report.evidence.record import Record
from acclimate.report.evidence.result import VerificationResult

Schema: TypeAlias = dict[str, Any]

RECORD_SCHEMA = Path(__file__).with_name("record-v1.schema.json")
VERIFICATION_SCHEMA = Path(__file__).with_name("verification-v1.schema.json")
_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_ENDED = r"[.!?。！？।؟][\"'”’»)\]*_`]*\s*$"
_SAYS_VERIFIED = r"(^|[^A-Za-z])([Ii]ndependently[ -])?[Vv]erified([^A-Za-z]|$)"
_DANGLING = (
    r"([ ](a|an|the|of|for|in|on|at|to|by|with|from|between|and|or|than|vs|versus|via)|[-,;:(\[/…])\s*$"
)
_UNSAID = ["", "not publicly specified", "not specified", "unspecified", "unknown", "none"]
_DECIDED = ["supported", "refuted"]
_LEVELS = ("L1", "L2", "L3", "L4")


def record_schema() -> Schema:
    """Return the JSON Schema of `manifest.json`.

    Each entry of an `allOf` has the name of its rule as `title`.
    """
    schema = _base(Record, "acclimate-record-v1")
    schema["allOf"] = _record_conditions()
    definitions = schema["$defs"]
    for name, conditions in _part_conditions().items():
        definitions[name]["allOf"] = conditions
    return schema


def verification_schema() -> Schema:
    """Return the JSON Schema of `verification/<n>/result.json`."""
    schema = _base(VerificationResult, "acclimate-verification-v1")
    schema["allOf"] = [
        _rule(
            "depth_of_a_sandbox",
            _when({"kind": {"const": "proof"}}, {"depth": {"const": None}}, {"depth": {"type": "string"}}),
        ),
        _rule(
            "success_of_checks",
            _when(
                {"success": {"const": True}},
                {"checks": {"items": _fields(ok={"const": True})}},
                {"checks": {"contains": _fields(ok={"const": False})}},
            ),
        ),
    ]
    return schema


def schema_text(schema: Mapping[str, Any]) -> str:
    """Return the text of a published schema file."""
    return json.dumps(schema, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def rules_in_schema() -> frozenset[str]:
    """Return the names of the rules that the record's schema refuses too."""
    conditions = [*_record_conditions(), *(each for part in _part_conditions().values() for each in part)]
    return frozenset(each["title"] for each in conditions)


def _base(model: type[Record] | type[VerificationResult], name: str) -> Schema:
    schema = model.model_json_schema()
    return {"$schema": _DIALECT, "$id": f"urn:acclimate:schema:{name}", **schema}


def _fields(**fields: Schema) -> Schema:
    """Return a schema of an object that has these fields, so."""
    return {"properties": fields, "required": sorted(fields)}


def _when(given: Schema, then: Schema, otherwise: Schema | None = None) -> Schema:
    """Return a condition on an object's fields."""
    schema = {"if": _fields(**given), "then": {"properties": then}}
    return schema if otherwise is None else {**schema, "else": {"properties": otherwise}}


def _rule(name: str, condition: Schema) -> Schema:
    return {"title": name, **condition}


_GIVEN: Schema = {"not": {"type": "null"}}
_FILLED: Schema = {"type": "string", "pattern": r"\S"}
_NOT_VERIFIED: Schema = {"verdict": _fields(status={"enum": ["UNVERIFIED", "FAILED"]})}


def _record_conditions() -> list[Schema]:
    unattempted = _fields(verdict=_fields(status={"const": "UNVERIFIED"}))
    bearing = _fields(bears_on_question={"const": True}, standing={"enum": _DECIDED})
    high = {"reproducibility_status": {"properties": {"grade": {"enum": ["LOW", "MEDIUM"]}}}}
    return [
        _rule(
            "verified_word",
            _when(
                {"gate": unattempted},
                {
                    "counts": {"properties": {"verified": {"enum": [0, None]}}},
                    "claims": {"items": {"properties": _NOT_VERIFIED}},
                },
            ),
        ),
        _rule(
            "question_not_answered",
            {
                "properties": {"question": _fields(answer=_GIVEN)},
                **_when(
                    {"question": _fields(answer=_fields(status={"enum": ["answered", "partly"]}))},
                    {"claims": {"contains": bearing}},
                ),
            },
        ),
        _rule(
            "high_reproducibility",
            _when(
                {"gate": _fields(verdict=_fields(status={"enum": ["UNVERIFIED", "FAILED"]}))},
                {"dimensions": {"properties": high}},
            ),
        ),
        _rule(
            "archived_without_digest",
            _when({"level": {"const": "L4"}}, {"registration": {"type": "object"}}),
        ),
        _rule(
            "two_levels",
            {
                "allOf": [
                    _when(
                        {"level": {"const": level}},
                        {"provenance": {"properties": {"level": {"enum": [level, None]}}}},
                    )
                    for level in _LEVELS
                ]
            },
        ),
        _rule("title_cut", {"properties": {"title": {"not": {"pattern": _DANGLING}}}}),
        _rule("abstract_cut", {"properties": {"abstract": {"pattern": _ENDED}}}),
    ]


def _part_conditions() -> dict[str, list[Schema]]:
    return {
        "ClaimEntry": _claim_conditions(),
        "Verdict": _verdict_conditions(),
        "Confidence": [_rule("confidence_unexplained", _fields(meaning=_FILLED, calibration=_GIVEN))],
        "Basis": [_rule("tier_without_thresholds", _fields(value=_GIVEN, threshold=_GIVEN))],
        "Tier": [_rule("tier_without_thresholds", {"properties": {"basis": {"minItems": 1}}})],
        "Dimension": [
            _rule(
                "dimension_without_basis",
                {"properties": {"rule": _FILLED, "values": {"minProperties": 1}}},
            )
        ],
        "Registration": [_rule("archived_without_digest", {"properties": {"digest": _GIVEN}})],
        "Corrections": [
            _rule("corrections_without_chain", {"properties": {"head": _GIVEN}}),
            _rule(
                "corrections_without_chain",
                _when(
                    {"status": {"const": "CURRENT"}},
                    {"count": {"const": 0}, "head": {"const": "0" * 64}},
                    {"count": {"minimum": 1}},
                ),
            ),
        ],
        "Reference": [
            _rule("reference_unused", {"anyOf": [_fields(claims={"minItems": 1}), _fields(use=_FILLED)]})
        ],
        "Provenance": [
            _rule("claims_not_exposed", {"properties": {"claims_source": {"not": {"enum": _UNSAID}}}})
        ],
        "Gate": [
            _rule(
                "attempts_against_verdict",
                _when({"attempts": {"minItems": 1}}, {"verdict": {"properties": {"code": _attempted()}}}),
            )
        ],
    }


def _attempted() -> Schema:
    return {"not": {"enum": sorted(ABSENT_CODES)}}


def _claim_conditions() -> list[Schema]:
    said = {"anyOf": [{"properties": {name: {"pattern": _SAYS_VERIFIED}}} for name in ("name", "value")]}
    numbers = {"measure": {"type": "string"}, "direction": _GIVEN, "margin": {"type": "number"}}
    return [
        _rule(
            "verified_word",
            {"if": _fields(**_NOT_VERIFIED), "then": {"properties": {"marks": {"items": {"not": said}}}}},
        ),
        _rule("claim_not_testable", {"properties": {"testable": _FILLED}}),
        _rule(
            "claim_cut",
            {
                "properties": {
                    "sentence": {
                        "anyOf": [{"pattern": _ENDED}, {"maxLength": 99, "not": {"pattern": _DANGLING}}]
                    }
                }
            },
        ),
        _rule(
            "standing_against_interval",
            {"if": _fields(kind={"const": "empirical"}), "then": _fields(**numbers)},
        ),
        _rule(
            "standing_against_interval",
            {
                "if": _fields(kind={"const": "empirical"}, measurement={"type": "null"}),
                "then": _fields(standing={"const": "open"}),
            },
        ),
        _rule(
            "standing_without_ground",
            {
                "if": _fields(kind={"const": "literature"}, standing={"enum": _DECIDED}),
                "then": _fields(passages={"minItems": 1}),
            },
        ),
        _rule(
            "standing_without_ground",
            {
                "if": _fields(kind={"const": "mathematical"}, standing={"enum": _DECIDED}),
                "then": _fields(verdict=_fields(status={"const": "VERIFIED"})),
            },
        ),
        _rule(
            "claim_beyond_gate",
            _when(
                {"kind": {"const": "literature"}},
                {"verdict": {"properties": {"status": {"const": "UNVERIFIED"}}}},
            ),
        ),
    ]


def _verdict_conditions() -> list[Schema]:
    made = {"VERIFIED": ["reproduced", "proved"], "FAILED": ["not_reproduced", "proof_rejected"]}
    conditions = [
        _rule(
            "verdict_without_artifact",
            {
                "if": _fields(status={"const": status}),
                "then": _fields(code={"enum": codes}, artifact={"type": "object"}),
            },
        )
        for status, codes in made.items()
    ]
    others = {"code": {"not": {"enum": [code for codes in made.values() for code in codes]}}}
    return [
        *conditions,
        _rule("verdict_without_artifact", _when({"status": {"const": "UNVERIFIED"}}, others)),
    ]
