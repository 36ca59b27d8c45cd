"""`acclimate claims ground`: claims and documents in, one result per claim and one fate per document out."""

import json
import os
import shutil
import time
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from pypdf import PdfReader, PdfWriter
from typer.testing import CliRunner

from acclimate.cli_claims import claims_app
from acclimate.errors import DataError, UsageError
from acclimate.grounding.claims import read_claims
from acclimate.grounding.documents import read_documents
from acclimate.grounding.stage import Grounding, ground
from acclimate.records import Rejection

SEEDS = Path(__file__).parents[2] / "shared" / "seeds"
ABSTRACT = (
    "Instruction tuning large language models (LLMs) using machine-generated instruction-following data "
    "has improved zero-shot capabilities on new tasks, but the idea is less explored in the multimodal "
    "field. In this paper, we present the first attempt to use language-only GPT-4 to generate multimodal "
    "language-image instruction-following data. By instruction tuning on such generated data, we "
    "introduce LLaVA: Large Language and Vision Assistant, an end-to-end trained large multimodal model "
    "that connects a vision encoder and LLM for general-purpose visual and language understanding. Our "
    "early experiments show that LLaVA demonstrates impressive multimodel chat abilities, sometimes "
    "exhibiting the behaviors of multimodal GPT-4 on unseen images/instructions, and yields a 85.1% "
    "relative score compared with GPT-4 on a synthetic multimodal instruction-following dataset. When "
    "fine-tuned on Science QA, the synergy of LLaVA and GPT-4 achieves a new state-of-the-art accuracy of "
    "92.53%. We make GPT-4 generated visual instruction tuning data, our model and code base publicly "
    "available."
)
"""Of arXiv 2304.08485, as its metadata give it (CC0); the paper that the claims of seed 001 are about."""
BREAD = "# Bread\n\nThe loaf is baked for 35 minutes at 230 degrees. Salt slows the yeast.\n"


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """A folder with seeds 000, 002, 003 and 004; the record under check is seed 001."""
    if not SEEDS.is_dir():
        pytest.skip(f"needs the real seeds in {SEEDS}")
    folder = tmp_path / "seeds"
    folder.mkdir()
    for number in ("000", "002", "003", "004"):
        (found,) = SEEDS.glob(f"{number}_*.txt")
        shutil.copyfile(found, folder / f"{number}.txt")
    (record,) = SEEDS.glob("001_*.txt")
    shutil.copyfile(record, tmp_path / "001.txt")
    return folder


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "bread.md").write_text(BREAD, encoding="utf-8")
    return folder


def claims_file(tmp_path: Path, text: str, name: str = "claims.md") -> Path:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return file


def standings(found: Grounding) -> list[str]:
    return [result.standing for result in found.results]


# --- the seeds -----------------------------------------------------------------------------------


@pytest.mark.data
def test_every_claim_of_the_seed_record_is_read_with_its_cuts(seeds):
    record = read_claims(seeds.parent / "001.txt")
    assert len(record.claims) == 8
    assert [claim.truncated for claim in record.claims] == [
        True,
        False,
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert record.question.startswith("How does the Visual Reliance Score (VRS) compare")


@pytest.mark.data
def test_the_seed_record_is_grounded_on_the_seeds_in_three_seconds(seeds):
    start = time.process_time()
    found = ground(seeds.parent / "001.txt", seeds)
    assert time.process_time() - start < 3.0
    assert len(found.results) == 8
    # 002 is a review with other wordings, 003 another paper's digest, 004 the AdaMLLM paper: by reading, none
    # of the eight sentences about LLaVA stands in them whole.
    assert not any(result.ticked for result in found.results)
    assert found.used == ("002.txt", "003.txt", "004.txt")


@pytest.mark.data
def test_the_copy_of_the_seed_record_is_found_and_gives_no_support(seeds):
    found = ground(seeds.parent / "001.txt", seeds)
    (copy,) = found.copies
    assert copy.document == "000.txt"
    assert {"same_title", "same_question"} <= set(copy.signs)
    assert 0.2 < copy.overlap < 0.5
    named = {result.best.document for result in found.results if result.best}
    assert "000.txt" not in named


@pytest.mark.data
def test_accuracy_against_relative_score_is_flagged_on_the_seeds(seeds):
    result = ground(seeds.parent / "001.txt", seeds).results[5]
    assert result.standing == "contradicted"
    (against,) = result.against
    assert (against.kind, against.found.document) == ("other_quantity", "002.txt")
    assert "85.1% of GPT-4's accuracy" in against.found.text


@pytest.mark.data
def test_the_abstract_itself_ticks_the_seed_claims_and_is_no_copy(seeds):
    (seeds / "llava.txt").write_text(
        f"Visual Instruction Tuning\n\nAbstract\n\n{ABSTRACT}\n", encoding="utf-8"
    )
    found = ground(seeds.parent / "001.txt", seeds)
    assert [copy.document for copy in found.copies] == ["000.txt"]
    # The second claim is 11 of the 34 words of its passage: score below the threshold, right passage.
    assert standings(found) == [
        "supported",
        "unsupported",
        *["supported"] * 3,
        "disputed",
        *["supported"] * 2,
    ]
    assert {result.best.document for result in found.results if result.best} == {"llava.txt"}
    disputed = found.results[5]
    assert disputed.score >= found.threshold
    assert disputed.best is not None
    assert "85.1% relative score" in disputed.best.text
    assert [each.found.document for each in disputed.against] == ["002.txt"]


@pytest.mark.data
def test_without_the_review_the_original_phrase_supports_the_claim(seeds):
    (seeds / "llava.txt").write_text(ABSTRACT, encoding="utf-8")
    (seeds / "002.txt").unlink()
    result = ground(seeds.parent / "001.txt", seeds).results[5]
    assert result.ticked
    assert not result.against
    assert [(each.text, each.where) for each in result.numbers] == [("85.1%", "passage")]


@pytest.mark.data
def test_the_digest_of_another_paper_ticks_nothing(seeds):
    for name in ("000.txt", "002.txt", "004.txt"):
        (seeds / name).unlink()
    found = ground(seeds.parent / "001.txt", seeds)
    assert set(standings(found)) == {"unsupported"}


@pytest.mark.data
def test_no_claim_of_the_seed_bears_on_its_question(seeds):
    question = ground(seeds.parent / "001.txt", seeds).question
    assert question is not None
    assert not any(question.bearing)
    assert "Visual Reliance Score" in question.terms_never_named
    shown = CliRunner().invoke(claims_app, ["ground", str(seeds.parent / "001.txt"), "--sources", str(seeds)])
    assert "No claim mentions Visual Reliance Score" in shown.output
    assert "8 of 8 claims do not bear on the question" in shown.output


# --- claims --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("claims.txt", "Bread rises.\nSalt slows yeast.\n"),
        ("claims.md", "# My claims\n\n- Bread rises.\n- Salt slows **yeast**.\n"),
        ("claims.md", "1. Bread rises.\n2. Salt slows yeast.\n"),
        (
            "claims.md",
            "Words.\n\n| No | Claim |\n|---|---|\n| 1 | Bread rises. |\n| 2 | Salt slows yeast. |",
        ),
        ("claims.jsonl", '{"claim": "Bread rises."}\n\n{"claim": "Salt slows yeast.", "id": 2}\n'),
        ("claims.json", '[{"text": "Bread rises."}, "Salt slows yeast."]'),
        ("claims.json", '{"claims": [{"sentence": "Bread rises."}, {"sentence": "Salt slows yeast."}]}'),
        ("claims.csv", 'id,Claim\n1,Bread rises.\n2,"Salt slows yeast."\n'),
    ],
)
def test_claims_are_read_from_every_form(tmp_path, name, text):
    record = read_claims(claims_file(tmp_path, text, name))
    assert [claim.text for claim in record.claims] == ["Bread rises.", "Salt slows yeast."]


def test_a_record_page_gives_only_the_cells_of_its_claim_column(tmp_path):
    page = "A title\n\nAbstract\n\nLong prose.\n\n| Claim | Verified |\n|---|---|\n| Bread rises. | ✓ |\n\n- <https://a.b>\n"
    record = read_claims(claims_file(tmp_path, page))
    assert [(claim.text, claim.line) for claim in record.claims] == [("Bread rises.", 9)]
    assert record.title == "A title"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("claims.md", "# Only a heading\n", "holds no claim"),
        ("claims.md", "", "has no text"),
        ("claims.jsonl", '{"claim": "a"}\n{"id": 2}\n', "entry 2"),
        ("claims.jsonl", '{"claim": "a"}\n{broken\n', "line 2"),
        ("claims.json", "3", "holds no list"),
        ("claims.csv", "id,words\n1,a\n", "no column named claim"),
    ],
)
def test_a_claims_file_without_claims_is_refused_by_name(tmp_path, sources, name, text, message):
    with pytest.raises(DataError, match=message) as refused:
        ground(claims_file(tmp_path, text, name), sources)
    assert name in str(refused.value)
    assert refused.value.exit_code == 1


# --- documents -----------------------------------------------------------------------------------


def pdf(path: Path, pages: list[str]) -> None:
    """Write text pages as matplotlib draws them."""
    writer = PdfWriter()
    for number, text in enumerate(pages):
        part = path.with_suffix(f".{number}.part")
        figure = Figure(figsize=(8, 4))
        figure.text(0.05, 0.5, text)
        with mpl.rc_context({"pdf.use14corefonts": True}):
            figure.savefig(part, format="pdf")
        writer.append(PdfReader(part))
        part.unlink()
    with path.open("wb") as handle:
        writer.write(handle)


def test_a_pdf_gives_support_with_its_page(tmp_path, sources):
    pdf(sources / "salt.pdf", ["An empty word on page one.", "The gauge showed 4.2 bar in the boiler."])
    found = ground(claims_file(tmp_path, "- The boiler's gauge showed 4.2 bar."), sources)
    (result,) = found.results
    assert result.best is not None
    assert (result.best.document, result.best.page) == ("salt.pdf", 2)
    assert result.ticked
    assert [each.where for each in result.numbers] == ["passage"]


HOSTILE = """<!DOCTYPE html><html><head><title>Oven</title><script>"The oven holds 999 loaves.";</script>
<style>p:after { content: "The oven holds 998 loaves." }</style></head><body onload="alert(1)">
<p>The oven holds 120 loaves &amp; cools <b>slow</b>ly.<br>It is old.
<div style="display: none">The oven holds 997 loaves.</div>
<p hidden>The oven holds 996 loaves.</p>
<noscript>The oven holds 995 loaves.</noscript><template>The oven holds 994 loaves.</template>
<svg><text>The oven holds 993 loaves.</text></svg><iframe srcdoc="The oven holds 992 loaves."></iframe>
<!-- The oven holds 991 loaves. --><![weird[ ]]>
<td>Cell &lt;script&gt;alert(2)&lt;/script&gt; \x1b[31mred\x1b[0m \u202ereversed
"""


def test_html_gives_what_a_reader_sees_and_nothing_else(sources):
    (sources / "oven.html").write_text(HOSTILE, encoding="utf-8")
    read = [each for each in read_documents(sources) if not isinstance(each, Rejection)]
    document = next(each for each in read if each.name == "oven.html")
    assert "The oven holds 120 loaves & cools slowly." in document.text
    assert "99" not in document.text
    assert "\x1b" not in document.text
    assert "\u202e" not in document.text
    assert next(each.line for each in document.sentences if "120" in each.text) == 3


def test_hostile_text_reaches_neither_terminal_nor_page_unescaped(tmp_path, sources):
    (sources / "oven.html").write_text(HOSTILE, encoding="utf-8")
    claims = claims_file(
        tmp_path, "- The oven holds 120 loaves <script>alert(3)</script> [red]bold[/red] | a.\n- Cell alert."
    )
    out = tmp_path / "out" / "result.md"
    shown = CliRunner().invoke(
        claims_app, ["ground", str(claims), "--sources", str(sources), "--out", str(out)]
    )
    assert shown.exit_code == 0
    assert "[red]" in shown.output
    assert "\x1b[31m" not in shown.output
    page = out.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\\|" in page


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_text_in_every_encoding_gives_support(tmp_path, sources, encoding):
    (sources / "cafe.txt").write_bytes("The café in Málaga opens at nine.\nIt is small.\n".encode(encoding))
    (result,) = ground(claims_file(tmp_path, "- The café in Málaga opens at nine."), sources).results
    assert result.ticked
    assert result.best is not None
    assert result.best.document == "cafe.txt"
    assert [(each.text, each.where) for each in result.names] == [("Málaga", "passage")]


def test_every_file_has_one_fate_with_a_countable_reason(tmp_path, sources):
    claims = claims_file(tmp_path, "- The loaf is baked for 35 minutes.\n- Salt slows the yeast.")
    (sources / "deep").mkdir()
    (sources / "deep" / "again.txt").write_text(BREAD.replace("# ", ""), encoding="utf-8")
    shutil.copyfile(claims, sources / "claims copy.md")
    (sources / "picture.png").write_bytes(b"\x89PNG")
    (sources / "README").write_text("words", encoding="utf-8")
    (sources / "empty.txt").write_bytes(b"")
    (sources / "dashes.txt").write_text("--- 12 ---\n", encoding="utf-8")
    (sources / "zeros.txt").write_bytes(bytes(range(1, 32)) * 99)
    (sources / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing")
    pdf(sources / "blank.pdf", [""])
    (tmp_path / "secret.txt").write_text("The loaf is baked for 35 minutes.", encoding="utf-8")
    (sources / "link.txt").symlink_to(tmp_path / "secret.txt")
    (sources / "dead.txt").symlink_to(sources / "nowhere")
    found = ground(claims, sources)
    assert found.used == ("bread.md",)
    assert [(each.document, each.of) for each in found.duplicates] == [("deep/again.txt", "bread.md")]
    assert [(each.document, each.signs) for each in found.copies] == [("claims copy.md", ("same_text",))]
    assert {each.id: each.reason for each in found.rejections} == {
        "README": "unsupported_type",
        "blank.pdf": "no_text",
        "broken.pdf": "unreadable",
        "dashes.txt": "no_text",
        "dead.txt": "unreadable",
        "empty.txt": "empty",
        "link.txt": "outside_folder",
        "picture.png": "unsupported_type",
        "zeros.txt": "not_text",
    }
    n_files = sum(len(files) for _, _, files in os.walk(sources))
    assert n_files == len(found.used) + len(found.copies) + len(found.duplicates) + len(found.rejections)


def test_an_encrypted_pdf_is_a_rejection(sources):
    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    writer.encrypt("secret", algorithm="RC4-128")
    with (sources / "locked.pdf").open("wb") as handle:
        writer.write(handle)
    reasons = {each.id: each.reason for each in read_documents(sources) if isinstance(each, Rejection)}
    assert reasons == {"locked.pdf": "encrypted"}


def test_an_empty_folder_leaves_every_claim_unsupported(tmp_path):
    (tmp_path / "none").mkdir()
    found = ground(claims_file(tmp_path, "- LLaVA reached 85.1%.\n- Salt slows yeast."), tmp_path / "none")
    assert standings(found) == ["unsupported", "unsupported"]
    assert [result.score for result in found.results] == [0.0, 0.0]
    assert [(each.text, each.where) for each in found.results[0].numbers] == [("85.1%", "nowhere")]


# --- copies --------------------------------------------------------------------------------------

RECORD = (
    "The rise of bread\n\nAbstract\n\nSalt slows the yeast, and warm dough rises faster than cold dough "
    "does.\n\nResearch question: Does salt slow the rise of bread?\n\n| Claim | ok |\n|---|---|\n"
    "| Salt slows the yeast. | y |\n"
    "| Warm dough rises faster than cold dough. | y |\n"
)


@pytest.mark.parametrize(
    ("text", "signs"),
    [
        pytest.param(RECORD, {"same_text", "same_title", "same_question", "same_claims_table"}, id="itself"),
        pytest.param(
            "The rise of bread\n\nResearch Question\nDoes salt slow the rise of bread?\n\nStatus: open.",
            {"same_title", "same_question"},
            id="another page of the record",
        ),
        pytest.param(
            "| Claim |\n|---|\n| Salt slows the yeast. |\n| Warm dough rises faster than cold dough. |\n",
            {"same_claims_table"},
            id="a list of its claims",
        ),
    ],
)
def test_what_only_repeats_the_record_is_a_copy(tmp_path, sources, text, signs):
    (sources / "other.md").write_text(text, encoding="utf-8")
    (copy,) = ground(claims_file(tmp_path, RECORD, "record.md"), sources).copies
    assert copy.document == "other.md"
    assert set(copy.signs) == signs


LONG = "\n\n".join(
    f"Batch {number} of flour came from mill {number * 7} and was stored dry." for number in range(80)
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "The rise of bread\n\nSalt slows the yeast, and warm dough rises faster than cold dough does.\n\n"
            + LONG,
            id="the original with the same title",
        ),
        pytest.param(
            "Salt slows the yeast, and warm dough rises faster than cold dough does.",
            id="only the quoted abstract",
        ),
        pytest.param(
            "The rise of bread\n\nResearch question: Does salt slow the rise of bread?\n\nSalt slows the "
            "yeast, and warm dough rises faster than cold dough does.\n\n" + LONG,
            id="an original of that title and question that says far more",
        ),
    ],
)
def test_an_original_that_the_record_quotes_is_no_copy_and_gives_support(tmp_path, sources, text):
    (sources / "bread.md").unlink()
    (sources / "original.md").write_text(text, encoding="utf-8")
    found = ground(claims_file(tmp_path, RECORD, "record.md"), sources)
    assert not found.copies
    assert {result.best.document for result in found.results if result.best} == {"original.md"}


# --- results -------------------------------------------------------------------------------------


def test_a_contradicted_claim_is_never_ticked_whatever_the_threshold(tmp_path, sources):
    claims = claims_file(tmp_path, "- The loaf is baked for 53 minutes.\n- Salt does not slow the yeast.")
    found = ground(claims, sources, threshold=0.01)
    assert standings(found) == ["contradicted", "contradicted"]
    assert [result.against[0].kind for result in found.results] == ["other_number", "negation"]


def test_a_claim_that_one_document_supports_and_another_denies_is_disputed(tmp_path, sources):
    (sources / "other.txt").write_text("In this oven the loaf is baked for 53 minutes.", encoding="utf-8")
    (result,) = ground(claims_file(tmp_path, "- The loaf is baked for 35 minutes."), sources).results
    assert result.standing == "disputed"
    assert result.best is not None
    assert result.best.document == "bread.md"
    assert [each.found.document for each in result.against] == ["other.txt"]


def test_numbers_and_names_are_looked_for_in_the_passage_then_around_it(tmp_path, sources):
    (sources / "bread.md").write_text(
        "The loaf of Anna Berg is baked slowly in the oven.\n\nIt takes 35 minutes.\n", encoding="utf-8"
    )
    (sources / "other.md").write_text("Nothing here but 77 spoons and Carla Dorn.", encoding="utf-8")
    claims = claims_file(
        tmp_path,
        "- The loaf of Anna Berg, and not of Carla Dorn or Emil Falk, is baked slowly in 35, 77 or 99 ovens.",
    )
    (result,) = ground(claims, sources).results
    where = {each.text: each.where for each in (*result.numbers, *result.names)}
    assert where["Anna Berg"] == "passage"
    assert where["Carla Dorn"] == "other_document"
    assert where["Emil Falk"] == "nowhere"
    assert where["77"] == "other_document"
    assert where["99"] == "nowhere"
    assert where["35"] in ("passage", "same_document")


def test_removing_a_document_changes_only_the_claims_that_it_spoke_to(tmp_path, sources):
    (sources / "oven.txt").write_text(
        "The oven of the bakery was built in 1931 by two brothers.", encoding="utf-8"
    )
    claims = claims_file(tmp_path, "- Salt slows the yeast.\n- The oven of the bakery was built in 1931.")
    before = ground(claims, sources)
    (sources / "oven.txt").unlink()
    after = ground(claims, sources)
    assert before.results[0] == after.results[0]
    assert before.results[1].ticked
    assert not after.results[1].ticked


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.5, 7.0])
def test_a_threshold_outside_of_its_range_is_wrong_usage(tmp_path, sources, bad):
    with pytest.raises(UsageError, match="--threshold"):
        ground(claims_file(tmp_path, "- Salt slows the yeast."), sources, threshold=bad)


# --- the command line ----------------------------------------------------------------------------


def run(*arguments: object):
    return CliRunner().invoke(claims_app, ["ground", *map(str, arguments)])


def test_the_verb_prints_a_table_and_the_counts(tmp_path, sources):
    (sources / "notes.xyz").write_text("x", encoding="utf-8")
    shown = run(claims_file(tmp_path, "- Salt slows the yeast.\n- Cats sleep."), "--sources", sources)
    assert shown.exit_code == 0
    assert "✓" in shown.output
    assert "bread.md, line 3" in shown.output
    assert "rejected: notes.xyz: unsupported_type" in shown.output
    assert "2 claims: 1 supported, 0 disputed, 0 contradicted, 1 unsupported" in shown.output
    assert "No research question is stated" in shown.output


def test_json_is_one_object_that_says_everything(tmp_path, sources):
    claims = claims_file(tmp_path, "- Salt slows the yeast.\n- Cats sleep.")
    shown = run(claims, "--sources", sources, "--json", "--question", "Does Marlow Bakery salt its bread?")
    value = json.loads(shown.output)
    assert value["counts"]["claims"] == 2
    assert [each["ticked"] for each in value["claims"]] == [True, False]
    assert value["claims"][0]["passage"]["text"] == "Salt slows the yeast."
    assert 0.0 <= value["claims"][1]["score"] <= value["claims"][0]["score"] <= 1.0
    assert value["question"]["terms_that_no_claim_names"] == ["Marlow Bakery"]
    assert value["question"]["claims_that_do_not_bear_on_it"] == ["Salt slows the yeast.", "Cats sleep."]


@pytest.mark.parametrize("name", ["result", "result.jsonl", "result.md"])
def test_out_writes_lines_of_json_and_a_page(tmp_path, sources, name):
    claims = claims_file(tmp_path, "- Salt slows the yeast.\n- Cats sleep.")
    assert run(claims, "--sources", sources, "--out", tmp_path / "new" / name).exit_code == 0
    rows = (tmp_path / "new" / "result.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(row)["standing"] for row in rows] == ["supported", "unsupported"]
    assert "Salt slows the yeast." in (tmp_path / "new" / "result.md").read_text(encoding="utf-8")


def test_out_overwrites_neither_the_claims_nor_a_source(tmp_path, sources):
    claims = claims_file(tmp_path, "- Salt slows the yeast.")
    for out in (tmp_path / "claims", sources / "bread"):
        shown = run(claims, "--sources", sources, "--out", out)
        assert isinstance(shown.exception, UsageError)
        assert shown.exception.exit_code == 2
    assert claims.read_text(encoding="utf-8") == "- Salt slows the yeast."


def test_what_cannot_be_read_is_named_with_exit_code_one(tmp_path, sources):
    missing = run(tmp_path / "none.md", "--sources", sources)
    assert isinstance(missing.exception, DataError)
    assert "none.md" in str(missing.exception)
    no_folder = run(claims_file(tmp_path, "- Salt slows the yeast."), "--sources", tmp_path / "nowhere")
    assert isinstance(no_folder.exception, DataError)
    assert "nowhere" in str(no_folder.exception)


def test_without_sources_the_usage_is_wrong(tmp_path):
    assert run(claims_file(tmp_path, "- Salt slows the yeast.")).exit_code == 2


@pytest.mark.slow
def test_two_hundred_claims_and_a_hundred_documents_take_less_than_a_minute(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(100):
        rows = [
            f"In trial {number * 1000 + at} the loaf of baker {at % 17} was kept {at % 29} hours before mill "
            f"{at % 7} sent flour, and salt slowed the yeast less than cold water did."
            for at in range(600)
        ]
        (folder / f"{number}.txt").write_text("\n".join(rows), encoding="utf-8")
    claims = claims_file(
        tmp_path,
        "\n".join(
            f"- In trial {at * 401} the loaf was kept {at % 29} hours by mill {at % 7}." for at in range(200)
        ),
    )
    start = time.process_time()
    found = ground(claims, folder)
    assert time.process_time() - start < 60.0
    assert len(found.results) == 200
