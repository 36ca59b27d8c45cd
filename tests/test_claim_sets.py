"""Claim sets: every claim gets one result, from tables, studies, pages and runs."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from acclimate.claim_sets.judge import judge_set
from acclimate.claim_sets.numbers import StudyNumbers
from acclimate.claim_sets.reading import read_numbers
from acclimate.claim_sets.said import said, trained_from
from acclimate.claim_sets.sets import load_set, parse_set, shipped
from acclimate.cli_claim_sets import register
from acclimate.errors import DataError, UsageError
from acclimate.studies import (
    alignment,
    alignment_claims,
    alignment_page,
    synthesis,
    synthesis_claims,
    synthesis_page,
    training,
    training_claims,
    training_page,
)
from acclimate.studies.alignment_numbers import Found
from acclimate.studies.combined import Combined

PAGES = Path(__file__).parents[1] / "docs" / "studies"


def combined(value, low, high, *by_seed):
    return Combined(value, low, high, 90, by_seed or (value, value, value))


def result_of(judgement, name):
    (found,) = [each for each in judgement.results if each.claim.id == name]
    return found


def made_set(tmp_path, *claims):
    head = {"id": "mine", "title": "My set", "source": {"title": "A paper", "id": "arXiv 1"}}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**head, "claims": list(claims)}), encoding="utf-8")
    return path


def claim(**values):
    return {"id": "one", "in": "Table 1", "sentence": "New scores more than old.", **values}


NEW_OLD = {"first": {"way": "new"}, "second": {"way": "old"}}


def app():
    made = typer.Typer()
    register(made)
    return made


# --- sets ------------------------------------------------------------------------------------------------


def test_shipped_sets_are_whole_and_their_claims_are_complete_sentences():
    assert shipped() == ("adamllm", "llava", "sight_beyond_text", "visual_reliance")
    for name in shipped():
        found = load_set(name)
        assert found.id == name
        assert all(each.sentence[0].isupper() and len(each.sentence.split()) > 5 for each in found.claims)


@pytest.mark.parametrize(
    ("values", "said_of_it"),
    [
        ({"compares": NEW_OLD, "colour": "red"}, "claim 'one': unknown key 'colour'; take it out"),
        ({}, "claim 'one': nothing can judge it; give it compares, study or measure"),
        ({"measure": "k", "sentence": "no end to this claim"}, "claim 'one': sentence"),
        ({"compares": {"first": {"a": "b"}, "second": {"a": "b"}}}, "the same rows"),
        ({"measure": "k", "margin": -1}, "claim 'one': margin"),
        ({"study": [{"kind": "cooking", "first": "a", "second": "b", "of": "c"}]}, "study.0.kind"),
    ],
)
def test_a_fault_of_a_set_names_file_claim_and_remedy(tmp_path, values, said_of_it):
    path = made_set(tmp_path, claim(**values))
    with pytest.raises(DataError) as caught:
        load_set(str(path))
    assert str(path) in str(caught.value)
    assert said_of_it in str(caught.value)


def test_a_set_without_a_key_or_with_one_id_twice_is_refused(tmp_path):
    with pytest.raises(DataError, match="claim number 1: the key 'id' is missing"):
        load_set(str(made_set(tmp_path, {"in": "x", "sentence": "A is more than B.", "measure": "k"})))
    with pytest.raises(DataError, match="the id 'one' stands on several claims"):
        load_set(str(made_set(tmp_path, claim(measure="a"), claim(measure="b"))))
    with pytest.raises(DataError, match="not valid YAML in line"):
        parse_set("a: [", "x.yaml")
    with pytest.raises(DataError, match="not a claim set"):
        parse_set("- a", "x.yaml")


def test_an_unknown_set_is_a_wrong_command_line_and_names_those_there_are():
    with pytest.raises(UsageError, match="adamllm, llava"):
        load_set("adamlm")


# --- tables ----------------------------------------------------------------------------------------------


def test_a_table_leaves_every_claim_open_and_counts_the_rows_that_agree(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text(
        "model,way,a,b,average\nM,new,3,5,4\nM,old,1,6,3.5\nN,new,2,2,2.1\nN,old,2,1,1.5\n", encoding="utf-8"
    )
    chosen = load_set(
        str(
            made_set(
                tmp_path,
                claim(compares=NEW_OLD),
                claim(id="each", compares=NEW_OLD, quantity="each", extent="most"),
                claim(id="b-less", compares=NEW_OLD, quantity="b", direction="lower"),
                claim(id="near", compares=NEW_OLD, quantity="b", direction="within", margin=0.01),
                claim(id="of-n", compares=NEW_OLD, over={"model": "N"}, margin=0.01),
                claim(id="run", measure="k"),
            )
        )
    )
    found = judge_set(chosen, read_numbers(table))
    assert {each.standing for each in found.results} == {"open"}
    assert all(each.reason.startswith("no intervals: the numbers have no items") for each in found.results)
    told = {each.claim.id: (each.n_agree, len(each.rows), each.mean) for each in found.results}
    assert told == {
        "one": (2, 2, 0.55),  # 4 - 3.5 and 2.1 - 1.5
        "each": (2, 4, 0.5),  # +2, -1, 0, +1: a tie does not agree
        "b-less": (1, 2, 0.0),  # -1, +1
        "near": (2, 2, 0.0),  # both within one point
        "of-n": (0, 1, 0.6),  # less than the margin of one point
        "run": (None, 0, None),
    }
    # M old: (1 + 6) / 2 = 3.5; N new: 2 against 2.1 printed.
    assert found.remarks[0].startswith("1 of 4 printed averages differ")
    assert found.remarks[1].startswith("N, new: printed 2.1, the mean of its scores is 2.000")


def test_a_printed_average_off_by_exactly_a_half_tenth_is_not_named(tmp_path):
    table = tmp_path / "t.json"
    scores = {"a": 24.8, "b": 36.1, "c": 65.3, "d": 42.0}  # mean 42.05
    table.write_text(json.dumps([{"way": "new", "scores": scores, "average": 42.0}]), encoding="utf-8")
    found = judge_set(load_set("llava"), read_numbers(table))
    assert found.remarks == ("0 of 1 printed averages differ by more than 0.05 from the row's mean.",)


def test_rows_that_cannot_be_told_apart_are_refused(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("way,a\nnew,1\nold,2\nold,3\n", encoding="utf-8")
    chosen = load_set(str(made_set(tmp_path, claim(compares=NEW_OLD))))
    with pytest.raises(DataError, match=r"t\.csv: for the claim 'one' .* give rows an attribute"):
        judge_set(chosen, read_numbers(table))


def test_a_claim_against_several_kinds_of_rows_has_a_row_for_each(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("model,way,a\nM,new,2\nM,old,1\nM,older,3\n", encoding="utf-8")
    compares = {"first": {"way": "new"}, "second": {"way": ["old", "older"]}}
    found = judge_set(load_set(str(made_set(tmp_path, claim(compares=compares)))), read_numbers(table))
    assert [(each.what, each.difference, each.agrees) for each in found.results[0].rows] == [
        ("M (against old)", 1.0, True),
        ("M (against older)", -1.0, False),
    ]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("x.csv", "a,b\n", "no rows"),
        ("x.csv", "a,b\n1,2\n", "columns of words"),
        ("x.csv", "a,b\nx\n", "line 2"),
        ("x.json", '{"a": 1}', "holds no numbers"),
        ("x.json", '[{"way": "new", "scores": {"a": "1"}}]', "row 1"),
        ("x.json", '{"table14": [{"model": "M"}]}', "table14"),
        ("x.json", '{"shares_of_gain": {}, "changes": {}, "claims": [{}]}', "training study"),
        ("x.json", '[{"key": "k", "value": 1}]', "needs the numbers value, low and high"),
        ("x.md", "# Something else\n", "no page of a study"),
        ("x.md", "# Ways of post-training\n", "no table with the columns"),
    ],
)
def test_numbers_of_no_known_form_are_refused_with_the_file_and_why(tmp_path, name, text, why):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=why) as caught:
        read_numbers(path)
    assert str(path) in str(caught.value)


def test_a_folder_without_numbers_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"none of study\.json"):
        read_numbers(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        read_numbers(tmp_path / "none.csv")


# --- the AdaMLLM paper's own numbers -----------------------------------------------------------------------


@pytest.fixture
def on_paper(shared_data):
    path = shared_data / "paper_tables" / "adamllm.json"
    if not path.is_file():
        pytest.skip(f"needs the paper's numbers in shared data: {path}")
    return judge_set(load_set("adamllm"), read_numbers(path))


def test_the_papers_own_numbers_leave_all_its_claims_open(on_paper):
    assert len(on_paper.results) == len(load_set("adamllm").claims)
    assert {each.standing for each in on_paper.results} == {"open"}
    assert all("no intervals" in each.reason for each in on_paper.results)


def test_the_rows_of_table_4_agree_as_its_arrows_say(on_paper):
    """Seven arrows up, two down; the study of training counts the same nine rows."""
    found = result_of(on_paper, "single-stage-over-two-stages")
    assert (found.n_agree, len(found.rows)) == (7, 9)
    down = [(each.what, each.difference) for each in found.rows if not each.agrees]
    assert down == [
        ("PMC_Raw, Qwen2-VL-2B, biomedicine", -1.2),
        ("PMC_Refined, Qwen2-VL-2B, biomedicine", -3.8),
    ]
    counts = {
        "adapted-over-untouched": (8, 9),
        "two-stages-over-untouched": (7, 9),
        "other-models-gain-too": (5, 6),
    }
    for name, expected in counts.items():
        found = result_of(on_paper, name)
        assert (found.n_agree, len(found.rows)) == expected
    for writer in ("rules", "gpt4", "gpt4v"):
        found = result_of(on_paper, f"synthesizer-over-{writer}")
        assert (found.n_agree, len(found.rows)) == (6, 6)


def test_the_known_regressions_are_rows_that_disagree(on_paper):
    """Source: the paper's Tables 2, 3 and 14 (shared/spec/official-behaviour.md 1.11)."""

    def against(name):
        return {each.what: each.difference for each in result_of(on_paper, name).rows if not each.agrees}

    untouched = against("adapted-over-untouched-every-task")
    assert untouched == {
        "Recipe1M, Qwen2-VL-2B, food: food101": -1.9,  # 72.0 - 73.9
        "Recipe1M, Llama-3.2-11B, food: foodseg103": -5.6,  # 42.0 - 47.6
        "PMC_Raw, Qwen2-VL-2B, biomedicine: pmc_vqa": -2.3,  # 43.5 - 45.8
        "PMC_Raw, Llama-3.2-11B, biomedicine: pathvqa_open": -0.5,  # 22.2 - 22.7
        "PMC_Raw, Llama-3.2-11B, biomedicine: pmc_vqa": -2.0,  # 49.9 - 51.9
        "PMC_Refined, Llama-3.2-11B, biomedicine: pmc_vqa": 0.0,  # 51.9 - 51.9
    }
    assert "Recipe1M, Llama-3.2-11B, food" in against("adapted-over-untouched")  # 47.8, base 47.975
    stages = against("single-stage-over-two-stages-every-task")
    assert stages["PMC_Refined, Qwen2-VL-2B, biomedicine: pathvqa_closed"] == -21.4  # 53.6 - 75.0


def test_the_one_row_whose_average_is_not_its_mean_is_named(on_paper):
    assert on_paper.remarks[0].startswith("1 of 36 printed averages")
    assert on_paper.remarks[1].startswith("PMC_Raw, Qwen2-VL-2B, two-stage, synthesizer")
    assert "printed 55.5, the mean of its scores is 55.557" in on_paper.remarks[1]


def test_tables_5_to_8_are_read_too(on_paper):
    told = {each.claim.id: (each.n_agree, len(each.rows), each.mean) for each in on_paper.results}
    assert told["blank-images-help"] == (2, 2, 4.3)  # 58.3 - 55.8 and 42.0 - 35.9
    assert told["tuning-on-pictures-improves-tasks"][:2] == (3, 4)  # accuracy 60.0 against 63.8
    assert told["blank-images-best-of-all"][:2] == (12, 12)
    assert told["filter-raises-precise-accuracy"] == (2, 2, 8.95)  # 75.1 - 64.3 and 84.3 - 77.2
    assert told["synthesizer-knowledge-against-gpt4v"] == (0, 1, -4.5)  # 63.2 - 67.7
    assert told["synthesizer-accuracy-against-rules"] == (1, 1, -14.4)  # 84.3 - 98.7
    # The score after the first stage stands in a caption and in no table.
    assert told["second-stage-forgets"] == (None, 0, None)


# --- studies ---------------------------------------------------------------------------------------------


def test_every_sentence_of_the_studies_is_taken_apart_as_it_was_made():
    """The reader of sentences and the studies' own claims may not drift apart."""
    for each in training_claims.CLAIMS:
        found = said(each.sentence, "training")
        what = {"general": "general skills"}.get(each.subject, each.subject)
        assert (found.first, found.second, found.of, found.share) == (
            each.first,
            each.second,
            what,
            each.at_least,
        )
        assert found.share or found.sign == each.sign
    for each in alignment_claims.CLAIMS:
        found = said(each.sentence, "alignment")
        assert (found.first, found.second, found.of) == (each.first, each.second, each.subject)
        assert (found.share, found.over) == (each.share, each.against)
        if each.share is None and each.against is None:
            assert found.sign == each.sign
    for each in synthesis_claims.CLAIMS:
        found = said(each.sentence, "synthesis")
        assert (found.table, found.first, found.second, found.share) == (
            each.table,
            each.first,
            each.second,
            each.at_least,
        )
        assert found.share or found.sign == each.sign
    for arm, start in training_claims.BASE_OF.items():
        assert trained_from(arm) == start


def test_every_study_claim_that_the_papers_make_has_its_place_in_a_set():
    """What the sets leave out of the studies' claims is about arms that the papers say nothing of."""
    mapped = {
        kind: [part for name in shipped() for each in load_set(name).claims for part in each.study]
        for kind in ("training", "synthesis", "alignment")
    }
    keys = {
        kind: {
            (part.first, part.second, part.of, part.table, part.share, part.over)
            for part in parts
            if part.kind == kind
        }
        for kind, parts in mapped.items()
    }

    def left_out(claims, kind):
        told = [said(each.sentence, kind) for each in claims]
        return [
            each
            for each in told
            if (each.first, each.second, each.of, each.table, each.share, each.over) not in keys[kind]
        ]

    assert left_out(synthesis_claims.CLAIMS, "synthesis") == []
    assert left_out(alignment_claims.CLAIMS, "alignment") == []
    ours = left_out(training_claims.CLAIMS, "training")
    assert all(
        {each.first, each.second} & {"LoRA", "projector only"} or each.of == "general skills" for each in ours
    )
    assert len(ours) == 6


def training_study(**found):
    """A study of training whose claims found what is given by number; the rest found nothing told."""
    nothing = combined(0.0, -0.1, 0.1, 0.05, 0.0, -0.05)
    judged = []
    for at, each in enumerate(training_claims.CLAIMS):
        own, standing = found.get(f"c{at}", (nothing, "open"))
        judged.append(training.Judged(each, own, standing))
    arms = {
        arm: {"domain": combined(0.5, 0.4, 0.6), "captions": combined(0.5, 0.4, 0.6)}
        for arm in training_claims.ARMS
    }
    changes = {
        arm: {"domain": combined(0.2, 0.1, 0.3), "general": combined(-0.2, -0.3, -0.1)}
        for arm in training_claims.BASE_OF
    }
    return training.Study((0, 1, 2), arms, changes, {}, tuple(judged), {})


def written(tmp_path, study, page, limit=None):
    """Write a study as the command line does, and return both files."""
    data = {"limit": limit, "notes": [], **study.to_json()}
    (tmp_path / "study.json").write_text(json.dumps(data), encoding="utf-8")
    note = [f"Test only: this study used a limit of {limit} rows."] if limit else []
    (tmp_path / "study.md").write_text(page(study, note), encoding="utf-8")
    return tmp_path / "study.json", tmp_path / "study.md"


def test_a_studys_own_standing_is_taken_from_its_json_and_from_its_page(tmp_path):
    study = training_study(
        c0=(combined(0.29, 0.269, 0.311), "supported"),
        c2=(combined(0.007, -0.005, 0.02, -0.006, 0.001, 0.027), "open"),
        c4=(combined(0.3, 0.2, 0.4), "refuted"),
    )
    for path in written(tmp_path, study, training_page.page, limit=7):
        found = judge_set(load_set("adamllm"), read_numbers(path))
        assert result_of(found, "adapted-over-untouched").standing == "supported"
        assert result_of(found, "single-stage-over-two-stages").standing == "open"
        forgets = result_of(found, "second-stage-forgets")
        assert forgets.standing == "refuted"
        assert (forgets.rows[0].difference, forgets.rows[0].low, forgets.rows[0].high) == (30.0, 20.0, 40.0)
        absent = result_of(found, "filter-cuts-errors")
        assert absent.standing == "open"
        assert absent.reason.startswith("this study has no arm for it")
        assert found.remarks == ("The study used a limit of 7 rows: it is a test only.",)


def test_a_difference_that_the_study_only_told_is_judged_by_its_interval(tmp_path):
    """LoRA against base on general skills is no claim of the study; its table of changes has it."""
    part = {"kind": "training", "first": "LoRA", "second": "base", "of": "general skills"}
    path = made_set(
        tmp_path,
        claim(id="less", study=[part], direction="lower"),
        claim(id="more", study=[part]),
        claim(id="turned", study=[{**part, "first": "base", "second": "LoRA"}]),
        claim(id="much-less", study=[part], direction="lower", margin=0.15),
    )
    for numbers in written(tmp_path, training_study(), training_page.page):
        found = judge_set(load_set(str(path)), read_numbers(numbers))
        assert [each.standing for each in found.results] == ["supported", "refuted", "supported", "open"]


def test_seeds_that_disagree_and_single_seeds_leave_an_untold_difference_open(tmp_path):
    study = training_study()
    study.changes["LoRA"]["domain"] = combined(0.2, 0.1, 0.3, 0.5, -0.1, 0.2)
    study.changes["two stages"]["general"] = combined(0.2, 0.1, 0.3, 0.2)
    part = {"kind": "training", "first": "LoRA", "second": "base", "of": "domain"}
    path = made_set(
        tmp_path,
        claim(study=[part]),
        claim(id="single", study=[{**part, "first": "two stages", "of": "general skills"}]),
    )
    for numbers in written(tmp_path, study, training_page.page):
        one, single = judge_set(load_set(str(path)), read_numbers(numbers)).results
        assert (one.standing, "Not every seed" in one.reason) == ("open", True)
        assert (single.standing, "one seed" in single.reason) == ("open", True)


def test_a_page_rounds_and_so_a_limit_that_prints_as_nought_decides_nothing(tmp_path):
    study = training_study()
    study.changes["LoRA"]["domain"] = combined(-0.2, -0.3, 0.0004)
    path = made_set(
        tmp_path, claim(study=[{"kind": "training", "first": "LoRA", "second": "base", "of": "domain"}])
    )
    for numbers in written(tmp_path, study, training_page.page):
        assert judge_set(load_set(str(path)), read_numbers(numbers)).results[0].standing == "open"


def test_an_arm_that_a_study_lacks_is_named(tmp_path):
    path = made_set(
        tmp_path,
        claim(study=[{"kind": "training", "first": "prompt tuning", "second": "base", "of": "domain"}]),
        claim(
            id="pair", study=[{"kind": "training", "first": "LoRA", "second": "second base", "of": "domain"}]
        ),
    )
    json_path, _ = written(tmp_path, training_study(), training_page.page)
    lacking, pair = judge_set(load_set(str(path)), read_numbers(json_path)).results
    assert (lacking.standing, lacking.reason) == ("open", "this study has no arm 'prompt tuning'.")
    assert "gives no difference between 'LoRA' and 'second base' on domain" in pair.reason


def test_the_opposite_of_what_a_study_claimed_gets_the_opposite_standing(tmp_path):
    study = training_study(c2=(combined(0.2, 0.1, 0.3), "supported"))
    part = {"kind": "training", "first": "single stage", "second": "two stages", "of": "domain"}
    path = made_set(
        tmp_path,
        claim(id="less", study=[part], direction="lower"),
        claim(
            id="turned", study=[{**part, "first": "two stages", "second": "single stage"}], direction="lower"
        ),
    )
    json_path, _ = written(tmp_path, study, training_page.page)
    less, turned = judge_set(load_set(str(path)), read_numbers(json_path)).results
    assert (less.standing, turned.standing) == ("refuted", "supported")
    assert turned.rows[0].difference == -20.0


def synthesis_study(standings):
    """A study of synthesis with a standing per claim; differences of levels are a fifth of a level."""
    judged = [
        synthesis.Judged(each, combined(0.2, 0.1, 0.3), standings.get(at, "supported"))
        for at, each in enumerate(synthesis_claims.CLAIMS)
    ]
    level = {name: combined(3.0, 2.9, 3.1) for name in synthesis_claims.MEASURES}
    shares = {name: combined(0.5, 0.4, 0.6) for name in synthesis_claims.SHARES}
    cells = {
        "6": dict.fromkeys(synthesis_claims.TABLE_6_COLUMNS, level),
        "7": dict.fromkeys((synthesis_claims.ALL, synthesis_claims.KEPT), shares),
        "8": dict.fromkeys(
            (synthesis_claims.SYNTHESIZER, synthesis_claims.RULES, synthesis_claims.TEXT_TEACHER), level
        ),
    }
    return synthesis.Study((0, 1, 2), cells, tuple(judged), {})


def test_a_claim_about_several_measures_is_supported_only_where_all_are(tmp_path):
    at = {
        (each.table, each.first, each.second, each.measure): n
        for n, each in enumerate(synthesis_claims.CLAIMS)
    }
    both = synthesis_claims.BOTH
    standings = {
        at["6", both, synthesis_claims.CAPTION, "knowledge"]: "open",
        at["6", synthesis_claims.BLANKED, both, "accuracy"]: "refuted",
        at["6", synthesis_claims.BLANKED, synthesis_claims.NONE, "accuracy"]: "no tasks",
    }
    for path in written(tmp_path, synthesis_study(standings), synthesis_page.page):
        found = judge_set(load_set("adamllm"), read_numbers(path))
        told = {each.claim.id: each.standing for each in found.results}
        assert told["both-inputs-over-pictures"] == "supported"
        assert told["both-inputs-over-captions"] == "open"
        assert told["blank-images-over-none"] == "refuted"
        assert told["blank-images-best-of-all"] == "open"
        assert told["filter-cuts-errors"] == "supported"
        assert told["synthesizer-diversity-against-gpt4v"] == "open"
        # A fifth of a level is four points of the paper's scale; a share of 0.2 is 20 points.
        rows = result_of(found, "both-inputs-over-pictures").rows
        assert [each.difference for each in rows] == [20.0, 4.0, 4.0, 4.0]


def alignment_study(standing_of):
    span = combined(0.05, 0.02, 0.08)
    claims = [
        alignment.Judged(each, Found(span, 0.01, 3), standing_of(each)) for each in alignment_claims.CLAIMS
    ]
    names = [alignment_claims.name_of(), alignment_claims.PLAIN, alignment_claims.CHAT]
    row = {"truthfulqa_mc2": Found(combined(0.5, 0.4, 0.6), None, 3)}
    return alignment.Study(
        (0, 1, 2),
        dict.fromkeys(names, 3),
        dict.fromkeys(names, row),
        {names[0]: {"truthfulqa_mc2": Found(span, None, 3)}},
        (),
        tuple(claims),
        {},
    )


def test_what_the_alignment_study_did_not_judge_is_open_with_its_word(tmp_path):
    def standing_of(each):
        if each.against is not None:
            return "descriptive"
        return "no gain to share" if each.share is not None else "supported"

    for path in written(tmp_path, alignment_study(standing_of), alignment_page.page):
        found = judge_set(load_set("sight_beyond_text"), read_numbers(path))
        told = {each.claim.id: each.standing for each in found.results}
        assert told["truth-rises"] == told["lora-hardly-changes-skills"] == "supported"
        assert told["text-explains-most"] == told["chat-tuned-gains-less"] == "open"
        reasons = [each.reason for each in result_of(found, "text-explains-most").rows]
        assert all(each.endswith("no gain to share.") for each in reasons)
        assert "no difference between" in result_of(found, "over-chat-tuned").reason


def reliance_row(model, measure, value, low, high, **values):
    row = {"level": "macro", "kind": "all", "donor_policy": "within_benchmark", "n_seeds": 3}
    return {**row, "model": model, "measure": measure, "value": value, "low": low, "high": high, **values}


def test_reliance_is_judged_from_its_intervals(tmp_path):
    rows = [
        reliance_row("synthetic", "VRS", 0.2, 0.1, 0.3),
        reliance_row("synthetic-authentic", "dVRS", -0.1, -0.15, -0.05),
        reliance_row("synthetic-authentic", "dVRS", 0.9, 0.8, 1.0, level="benchmark"),
        reliance_row("synthetic-authentic", "dnVRS", None, None, None),
        reliance_row("synthetic-base", "dVRS", 0.1, -0.1, 0.3),
        reliance_row("synthetic-base", "dA_text", 0.1, 0.05, 0.15, donor_policy="none", n_seeds=1),
        reliance_row("no captions-synthetic", "dA_orig", -0.1, -0.2, -0.05, donor_policy="none"),
    ]
    path = tmp_path / "study.json"
    path.write_text(json.dumps({"measured": rows, "token_ratio": 1.0}), encoding="utf-8")
    found = judge_set(load_set("visual_reliance"), read_numbers(path))
    assert [each.standing for each in found.results] == ["supported", "open", "open", "open", "open"]
    assert "could not measure" in result_of(found, "synthetic-relies-less-for-its-score").reason
    assert "one seed" in result_of(found, "training-leaks-answers").reason
    # The arm without captions scores less than the whole mixture: the study has it the other way round.
    adapted = judge_set(load_set("adamllm"), read_numbers(path))
    captions = result_of(adapted, "captions-help")
    assert (captions.standing, captions.rows[0].difference) == ("supported", 10.0)


# --- the committed pages -----------------------------------------------------------------------------------


def test_the_committed_page_of_training_stands_as_its_own_table_says():
    found = judge_set(load_set("adamllm"), read_numbers(PAGES / "training-lab.md"))
    told = {each.claim.id: each.standing for each in found.results if each.rows}
    assert told == {
        "adapted-over-untouched": "supported",
        "other-models-gain-too": "supported",
        "single-stage-over-two-stages": "open",
        "single-stage-over-two-stages-recipes": "supported",
        "second-stage-forgets": "supported",
        "first-stage-teaches-captions": "supported",
        "two-stages-over-untouched": "supported",
    }
    row = result_of(found, "single-stage-over-two-stages").rows[0]
    assert (row.difference, row.low, row.high, row.by_seed) == (0.7, -0.5, 2.0, (-0.6, 0.1, 2.7))


def test_all_committed_pages_are_read_and_every_claim_has_one_result():
    for page, kind in (
        ("training-lab", "training"),
        ("synthesis-lab", "synthesis"),
        ("alignment-lab", "alignment"),
    ):
        numbers = read_numbers(PAGES / f"{page}.md")
        assert isinstance(numbers, StudyNumbers)
        assert numbers.kind == kind
        for name in shipped():
            chosen = load_set(name)
            found = judge_set(chosen, numbers)
            assert [each.claim.id for each in found.results] == [each.id for each in chosen.claims]


# --- runs ------------------------------------------------------------------------------------------------


def test_a_runs_measurements_judge_the_claims_whose_key_is_there(tmp_path):
    values = {
        "value": 0.1,
        "low": 0.05,
        "high": 0.15,
        "n": 9,
        "n_clusters": 9,
        "coverage": 1.0,
        "method": "x",
    }
    key = "macro/adapted-base/original"
    listed, record = tmp_path / "m.json", tmp_path / "manifest.json"
    listed.write_text(json.dumps([{"key": key, **values}]), encoding="utf-8")
    claims = [{"measure": key, "measurement": values}, {"measure": "other", "measurement": None}]
    record.write_text(json.dumps({"contract": "record/v1", "claims": claims}), encoding="utf-8")
    for path in (listed, record, tmp_path):
        found = judge_set(load_set("adamllm"), read_numbers(path))
        assert result_of(found, "adapted-over-untouched").standing == "supported"
        assert {each.standing for each in found.results if each.rows == ()} == {"open"}


# --- the command line --------------------------------------------------------------------------------------


def test_the_verb_prints_a_table_or_one_json_object_and_writes_a_page(tmp_path):
    page = str(PAGES / "training-lab.md")
    out = tmp_path / "judged.md"
    plain = CliRunner().invoke(app(), ["judge", "adamllm", page, "--out", str(out)])
    assert plain.exit_code == 0
    assert "44 claims of adamllm on the training study: 6 supported, 0 refuted, 38 open." in plain.output
    text = out.read_text(encoding="utf-8")
    n_rows = sum(line.startswith("| ") for line in text.splitlines()) - 2
    assert n_rows == 44
    told = CliRunner().invoke(app(), ["judge", "adamllm", page, "--json"])
    data = json.loads(told.output)
    assert data["standings"] == {"supported": 6, "refuted": 0, "open": 38}
    assert len(data["claims"]) == 44


def test_a_page_escapes_what_a_set_says(tmp_path):
    path = made_set(tmp_path, claim(measure="k", sentence="A <script> | pipe is more than nothing."))
    listed, out = tmp_path / "m.json", tmp_path / "o.md"
    listed.write_text('[{"key": "j", "value": 0, "low": 0, "high": 0}]', encoding="utf-8")
    assert CliRunner().invoke(app(), ["judge", str(path), str(listed), "--out", str(out)]).exit_code == 0
    assert "A &lt;script> \\| pipe" in out.read_text(encoding="utf-8")


def test_wrong_targets_and_unknown_sets_are_usage_errors(tmp_path):
    page = tmp_path / "training-lab.md"
    page.write_text((PAGES / "training-lab.md").read_text(encoding="utf-8"), encoding="utf-8")
    for arguments in (
        ["judge", "adamllm", str(page), "--out", str(page)],
        ["judge", "adamllm", str(page), "--out", str(tmp_path / "x.html")],
        ["judge", "nothing", str(page)],
    ):
        found = CliRunner().invoke(app(), arguments)
        assert isinstance(found.exception, UsageError)
        assert found.exception.exit_code == 2


def test_the_sets_are_listed():
    told = json.loads(CliRunner().invoke(app(), ["sets", "--json"]).output)
    assert [each["id"] for each in told["sets"]] == list(shipped())
    assert "adamllm" in CliRunner().invoke(app(), ["sets"]).output


def test_a_judgements_rows_are_plain_values():
    """`--json` must not meet a value that JSON lacks."""
    found = judge_set(load_set("adamllm"), read_numbers(PAGES / "synthesis-lab.md"))
    assert json.dumps([asdict(row) for each in found.results for row in each.rows], allow_nan=False)
