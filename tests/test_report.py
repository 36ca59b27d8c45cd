"""The pages: what they say follows from the intervals, what users wrote is shown and never run."""

import base64
import html.parser
import io
import itertools
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from acclimate.errors import BenchmarkError
from acclimate.records import ImageRef, Item, Measurement, Prediction, Score
from acclimate.report.blocks import Cell, Column, Row, Table
from acclimate.report.characters import shortened, visible
from acclimate.report.claims import headline, points, standing
from acclimate.report.drawings import thinned
from acclimate.report.examples import MOST_BYTES, PAGE_SIZE, mixed, ranked, shown
from acclimate.report.inputs import (
    Audit,
    Baseline,
    BenchmarkFacts,
    Example,
    LossPoint,
    ReportInputs,
    RoomSummary,
)
from acclimate.report.latex import escaped, latex_tables
from acclimate.report.pictures import LONGEST_PX, thumbnail_uri
from acclimate.report.quality_tables import quality_from
from acclimate.report.side_by_side import side_by_side
from acclimate.report.stage import ReportConfig, report_measurements, write_report
from acclimate.report.tables import comparison, forgetting, found_in, stars
from tests.small_reports import answer, rich

ATTACK = """<script>alert(1)</script>"><img src=x onerror=alert(2)> '{{ 7 * 7 }}' | `rm` [a](javascript:b)"""
QUICK = ReportConfig(n_draws=400)


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (24, 16), (200, 30, 30)).save(out, "PNG")
    return out.getvalue()


def scores(benchmark: str, base: float, adapted: float, *, n: int = 40) -> list[Score]:
    """Return scores where the first so many of n questions are right; without the picture the base's rate."""
    found = []
    for model, share in (("base", base), ("adapted", adapted)):
        for condition, right in (("original", share), ("mismatch", base / 2), ("blank", base / 2)):
            for at in range(n):
                value = float(at < round(right * n))
                parsed = value > 0 or at % 2 == 0
                for scorer in ("accuracy_strict", "accuracy_paper"):
                    found.append(
                        Score(
                            f"i{at}", benchmark, model, condition, scorer, value, parsed, "", f"picture {at}"
                        )
                    )
    return found


def example(*, is_kept: bool = True, text: str = "How many?", image: bytes | None = None) -> Example:
    shown = picture() if image is None else image
    return Example(shown, "image/png", text, text, text, text, is_kept=is_kept, reason=text)


def inputs(**fields: object) -> ReportInputs:
    plain = ReportInputs(
        scores=(*scores("cells_open", 0.3, 0.7), *scores("cells_closed", 0.5, 0.9)),
        benchmarks=(
            BenchmarkFacts(
                "cells_open", "accuracy_strict", 42, chance=0.1, licence="CC0", citation="Own 2026"
            ),
            BenchmarkFacts("cells_closed", "accuracy_strict", 40, note="not checked by people"),
        ),
        rooms=(
            RoomSummary("curate", 100, 40, {"inconsistent": 50, "open": 10}, {"distinct_instructions": 31}),
        ),
        examples=(example(), example(is_kept=False, text="Which one?")),
        losses=tuple(LossPoint(step, 3.0 / step) for step in range(1, 60)),
        times=(("train", 130.0), ("evaluate", 20.0)),
        environment={"python": "3.11"},
        checkpoint="runs/a b/checkpoint",
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


def pages(tmp_path: Path, given: ReportInputs) -> tuple[str, str]:
    write_report(given, tmp_path, QUICK)
    return tuple((tmp_path / name).read_text(encoding="utf-8") for name in ("index.html", "report.md"))  # type: ignore[return-value]


class Reader(html.parser.HTMLParser):
    """Collects tags, their attributes and the text, and checks that tags close in order."""

    VOID = frozenset({"meta", "img", "br", "link", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open_tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open_tags == []
    return reader


def loads_nothing(page: str) -> None:
    """Check that a page is well-formed, has our one script alone, and names nothing outside the report."""
    reader = read(page)
    assert {tag for tag, _, _ in reader.attributes} & {"script", "link", "iframe", "object", "base"} == set()
    assert page.count("<script") == page.count("</script") == 1
    for _, name, value in reader.attributes:
        assert not name.startswith("on")
        assert name != "style"
        if name == "src":
            assert value.startswith(("data:image/png;", "data:image/jpeg;", "data:image/svg+xml;"))
        if name == "href":
            assert re.fullmatch(
                r"#[\w-]+|figures/[\w-]+\.(csv|svg)|(examples/)?page-\d{3}\.html|\.\./index\.html", value
            )
    assert "url(" not in page
    assert "http:" not in re.sub(r"data:image/[^\"]*", "", page)


def test_the_page_is_well_formed_and_loads_nothing(tmp_path: Path) -> None:
    page, _ = pages(tmp_path, inputs())
    loads_nothing(page)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with every part."""
    out = tmp_path_factory.mktemp("whole")
    write_report(rich(), out, QUICK)
    return out


def test_a_report_with_every_part_is_well_formed_and_loads_nothing(whole: Path) -> None:
    page = (whole / "index.html").read_text(encoding="utf-8")
    loads_nothing(page)
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    named = {target for each in re.findall(r'aria-labelledby="([^"]*)"', page) for target in each.split()}
    assert named | set(re.findall(r'href="#([^"]*)"', page)) <= set(ids)


def test_headings_stand_in_order_and_tables_are_named(whole: Path) -> None:
    page = (whole / "index.html").read_text(encoding="utf-8")
    levels = [int(level) for level in re.findall(r"<h([1-6])\b", page)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert page.count("<table>") == page.count("<caption") >= 15
    assert "<th>" not in page
    for alt in re.findall(r'<img src="data:image/svg[^>]*alt="([^"]*)"', page):
        assert len(re.findall(r"\d", alt)) >= 3


def test_texts_of_users_and_models_are_shown_and_never_run(tmp_path: Path) -> None:
    given = inputs(
        examples=(example(text=ATTACK), example(text=ATTACK, is_kept=False)),
        rooms=(RoomSummary(ATTACK, 2, 1, {ATTACK: 1}, {ATTACK: 3}),),
        audits=(Audit(ATTACK, (ATTACK,), ((ATTACK,),), ATTACK),),
        notes=(ATTACK,),
        environment={ATTACK: ATTACK},
        checkpoint=ATTACK,
        times=((ATTACK, 1.0),),
        benchmarks=tuple(replace(each, citation=ATTACK, licence=ATTACK) for each in inputs().benchmarks),
    )
    page, markdown = pages(tmp_path, given)
    reader = read(page)
    assert "script" not in {tag for tag, _, _ in reader.attributes}
    assert page.count("<script") == 1
    assert "onerror" not in {name for _, name, _ in reader.attributes}
    assert ATTACK in reader.text
    outside_code = re.sub(r"(?ms)^(`{3,}).*?^\1$", "", markdown)
    assert "<script" not in outside_code
    assert "[a](javascript" not in outside_code


def pixels(uri: str) -> Image.Image:
    """Decode a data URI, which must hold a plain picture without metadata."""
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2])))
    assert not image.getexif()
    return image.convert("RGB")


def test_only_pictures_become_data_uris(tmp_path: Path) -> None:
    hostile = replace(example(), image=b"<svg onload='alert(1)'/>", media_type="image/svg+xml")
    lying = replace(hostile, media_type="image/png")
    odd = replace(example(), media_type='text/html"><script>')
    page, _ = pages(tmp_path, inputs(examples=(example(), hostile, lying, odd, example(image=b""))))
    cards = re.findall(r'(?s)<article class="card task".*?</article>', page)
    found = [re.findall(r'<img src="([^"]*)"', card) for card in cards]
    assert [len(uris) for uris in found] == [1, 0, 0, 0, 0]
    assert pixels(found[0][0]).tobytes() == Image.open(io.BytesIO(picture())).tobytes()


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1024, 512), (256, 128)), ((20, 600), (9, 256)), ((40, 30), (40, 30)), ((256, 256), (256, 256))],
)
def test_a_thumbnail_is_small_never_larger_and_without_metadata(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[0x010E] = "patient 42"
    out = io.BytesIO()
    Image.new("RGB", size, (10, 120, 30)).save(out, "JPEG", exif=exif)
    uri = thumbnail_uri(out.getvalue(), "image/jpeg")
    assert pixels(uri).size == expected
    assert max(expected) <= LONGEST_PX
    assert b"patient" not in base64.b64decode(uri.partition("base64,")[2])


def test_a_thumbnail_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    Image.new("RGB", (30, 10)).save(out, "JPEG", exif=exif)
    assert pixels(thumbnail_uri(out.getvalue(), "image/jpeg")).size == (10, 30)


def test_a_deep_grey_picture_keeps_its_greys() -> None:
    out = io.BytesIO()
    image = Image.new("I;16", (4, 4), 257 * 100)
    image.save(out, "PNG")
    assert pixels(thumbnail_uri(out.getvalue(), "image/png")).getpixel((1, 1)) == (100, 100, 100)


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_report(rich(), tmp_path / name, QUICK)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    drawn = ("forgetting", "gain", "loss", "radar", "reliance", "reliance-conditions")
    drawn += ("reliance-differences", "robustness", "task-types")
    assert {str(path) for path in files} == {
        *(f"figures/{name}.{kind}" for name in drawn for kind in ("csv", "svg")),
        *("index.html", "report.md", "summary.json", "tables.tex"),
    }
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


def test_the_summary_is_returned_and_written(tmp_path: Path) -> None:
    found = write_report(inputs(), tmp_path, QUICK)
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8")) == found
    assert found["gain"]["value"] == pytest.approx(0.4)
    assert found["reliance"]["adapted"]["vrs"] == pytest.approx(0.6)


def test_the_pages_carry_every_part(tmp_path: Path) -> None:
    given = inputs(audits=(Audit("Oracle audit", ("what", "share"), (("all tasks", "61.0"),), "by the lab"),))
    page, markdown = pages(tmp_path, given)
    for whole_text in (read(page).text, markdown.replace("\\", "")):
        for part in (
            *(
                "mean of benchmarks",
                "accuracy_paper",
                "higher",
                "+40.0",
                "inconsistent 50",
                "distinct_instructions 31",
            ),
            *(
                "Oracle audit",
                "all tasks",
                "How many?",
                "Which one?",
                "Where time went",
                "2.2 min",
                "3.11",
                "CC0",
            ),
            *(
                "not checked by people",
                "AutoProcessor",
                "Without torchvision",
                "runs/a b/checkpoint",
                "mismatch",
                "95.2",
            ),
        ):
            assert part in whole_text, part
    for name in ("gain", "loss", "reliance"):
        assert f"figures/{name}.svg" in markdown
        ET.fromstring((tmp_path / "figures" / f"{name}.svg").read_bytes())


def test_tables_of_the_markdown_report_have_as_many_cells_in_every_row(tmp_path: Path) -> None:
    _, markdown = pages(tmp_path, inputs(examples=(example(text=ATTACK),), rooms=(RoomSummary("a|b", 1, 1),)))
    blocks = re.findall(r"(?:^\|.*\n)+", markdown, flags=re.MULTILINE)
    assert len(blocks) >= 7
    for block in blocks:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block
        assert len(block.splitlines()) >= 3 or block.startswith("| | |"), block


def test_a_limited_run_says_that_it_is_a_test(tmp_path: Path) -> None:
    page, markdown = pages(tmp_path, inputs(limit=7))
    assert "Test only." in page
    assert "Test only." in markdown
    assert "Test only." not in pages(tmp_path, inputs())[0]


def test_a_report_of_the_base_model_alone_has_no_gain(tmp_path: Path) -> None:
    given = inputs(
        scores=tuple(
            each for each in inputs().scores if each.model == "base" and each.condition == "original"
        ),
        losses=(),
        rooms=(),
        examples=(),
        times=(),
        environment={},
        checkpoint="",
    )
    page, markdown = pages(tmp_path, given)
    assert "The base model scores 40.0 of 100" in read(page).text
    for absent in (">gain</th>", "Use the checkpoint", "Training loss", "Does the model look"):
        assert absent not in page
    assert "figures/" not in markdown


def test_figures_take_any_name(tmp_path: Path) -> None:
    strange = "$x^2 漢字 <b>"
    renamed = tuple(replace(each, benchmark=strange) for each in scores("b", 0.2, 0.6))
    write_report(
        inputs(scores=renamed, benchmarks=(BenchmarkFacts(strange, "accuracy_strict", 40),)), tmp_path, QUICK
    )
    ET.fromstring((tmp_path / "figures" / "gain.svg").read_bytes())


def test_scores_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="different items"):
        write_report(inputs(scores=inputs().scores[:-2]), tmp_path, QUICK)
    with pytest.raises(BenchmarkError, match="no primary scorer"):
        write_report(inputs(benchmarks=()), tmp_path, QUICK)


def measurement(key: str, value: float, low: float, high: float) -> Measurement:
    return Measurement(key, value, low, high, 10, 10, 1.0, "cluster_bootstrap")


@pytest.mark.parametrize(
    ("low", "high", "expected", "said"),
    [
        pytest.param(0.01, 0.3, "higher", "The adapted model scores higher", id="above"),
        pytest.param(-0.3, -0.01, "lower", "The adapted model scores lower", id="below"),
        pytest.param(-0.01, 0.3, "not resolved", "No difference", id="holds zero"),
        pytest.param(0.0, 0.0, "not resolved", "No difference", id="exactly zero"),
    ],
)
def test_the_headline_says_only_what_the_interval_supports(
    low: float, high: float, expected: str, said: str
) -> None:
    gain = measurement("macro/adapted-base/original", (low + high) / 2, low, high)
    scores_of = [measurement(f"macro/{model}/original", 0.5, 0.4, 0.6) for model in ("base", "adapted")]
    assert standing(gain) == expected
    assert headline([*scores_of, gain])[0].startswith(said)


def test_points_have_no_negative_zero() -> None:
    assert [points(-0.0001), points(-0.0001, signed=True), points(0.1234, signed=True)] == [
        "0.0",
        "0.0",
        "+12.3",
    ]


def test_kept_and_rejected_examples_share_the_room(tmp_path: Path) -> None:
    many = tuple(example(is_kept=at < 60, text=f"task {at}?") for at in range(120))
    page, _ = pages(tmp_path, inputs(examples=many))
    assert page.count('<article class="card task"') == 24
    assert page.count(">kept</span>") == page.count(">rejected</span>") == 12
    assert "24 tasks of a sample of 120 are shown" in page


def test_every_part_stands_on_both_pages(whole: Path) -> None:
    page = read((whole / "index.html").read_text(encoding="utf-8")).text
    markdown = (whole / "report.md").read_text(encoding="utf-8").replace("\\", "")
    for text in (page, markdown):
        for part in (
            *("Rival-7B", "adapted − Rival-7B", "adapted, published", "68.0", "Table 14 of the paper"),
            *("Supported", "Refuted", "The adapted model is better on the domain."),
            *("Forgetting", "general scenes", "Corrupted pictures", "weather", "Ablations", "no filter"),
            *("every task is kept", "whole − arm, mean of benchmarks"),
            *("Object Recognition", "81.0 (75 to 87)", "IS_net"[:3], "nVRS", "1,234,567"),
            *("USD", "0.73", "65,000", "Answers side by side", "they lie along the wall", "9 of 9 answers"),
            *("* p < .05" if text is page else "* p &lt; .05", "figures/radar.csv", "figures/loss.csv"),
        ):
            assert part in text, part


def test_a_claim_is_printed_in_its_standing_and_marked_where_it_came_late(whole: Path) -> None:
    page = (whole / "index.html").read_text(encoding="utf-8")
    claims = re.findall(r'(?s)<div class="claim[^>]*>(.*?)</div>', page)
    said = [" ".join(read(each).text.split()) for each in claims]
    assert [each.partition(" ")[0] for each in said] == ["Supported", "Refuted", "Refuted"]
    late = [each for each in said if "written after the results were known" in each]
    assert len(late) == 1
    assert "The adapted model is worse on the domain." in late[0]
    markdown = (whole / "report.md").read_text(encoding="utf-8")
    for sentence in ("The adapted model is worse on the domain.", "Nothing general is forgotten."):
        for line in markdown.splitlines():
            assert sentence not in line or line.startswith("- **Refuted**")


@pytest.mark.parametrize(
    ("p_holm", "expected"),
    [(None, ""), (0.2, ""), (0.05, ""), (0.049, "*"), (0.0099, "**"), (0.00099, "***")],
)
def test_stars_follow_the_adjusted_p(p_holm: float | None, expected: str) -> None:
    found = replace(measurement("b/adapted-base/original", 0.1, 0.05, 0.2), p=0.0001, p_holm=p_holm)
    assert stars(found) == expected


def test_general_benchmarks_have_a_mean_of_their_own() -> None:
    facts = (*inputs().benchmarks, BenchmarkFacts("scenes", "accuracy_strict", 40, is_general=True))
    given = inputs(scores=(*inputs().scores, *scores("scenes", 0.9, 0.8)), benchmarks=facts)
    by_key = {each.key: each for each in report_measurements(given, QUICK)}
    # 0.3 and 0.5 of the domain's two benchmarks; 0.9 stands apart.
    assert by_key["macro/base/original"].value == pytest.approx(0.4)
    assert by_key["macro_general/base/original"].value == pytest.approx(0.9)
    assert by_key["macro_general/adapted-base/original"].value == pytest.approx(-0.1)
    table = comparison(found_in(given, list(by_key.values())))
    assert table is not None
    assert [row.cells[0].text for row in table.rows] == ["cells_open", "cells_closed", "mean of benchmarks"]
    rival = (replace(each, model="rival") for each in inputs().scores if each.model == "adapted")
    with_rival = replace(given, scores=(*given.scores, *rival), baselines=(Baseline("rival", "Rival"),))
    found = found_in(with_rival, report_measurements(with_rival, QUICK))
    for made, is_there in ((comparison(found), True), (forgetting(found), False)):
        assert made is not None
        assert ("Rival" in [column.title for column in made.columns]) is is_there


def test_where_all_benchmarks_are_general_they_are_the_headline() -> None:
    given = inputs(benchmarks=tuple(replace(each, is_general=True) for each in inputs().benchmarks))
    keys = {each.key for each in report_measurements(given, QUICK)}
    assert "macro/base/original" in keys
    assert not any(key.startswith("macro_general/") for key in keys)


@pytest.mark.parametrize("role", ["base", "adapted", "", "a-b", "a/b"])
def test_a_baseline_whose_role_would_be_taken_for_another_is_refused(role: str) -> None:
    with pytest.raises(BenchmarkError, match="role"):
        report_measurements(inputs(baselines=(Baseline(role, "Rival"),)), QUICK)


def test_the_numbers_behind_a_figure_are_the_measurements(whole: Path) -> None:
    measured = {each.key: each for each in report_measurements(rich(), QUICK)}
    lines = (whole / "figures" / "gain.csv").read_text(encoding="utf-8").splitlines()
    rows = [line.split(",") for line in lines]
    assert rows[0] == ["benchmark", "value", "low", "high", "n", "n_clusters", "method"]
    gain = measured["bench open/adapted-base/original"]
    assert rows[1][:5] == ["bench open", repr(gain.value), repr(gain.low), repr(gain.high), "40"]
    assert rows[-1][0] == "mean of benchmarks"


def test_a_radar_needs_three_benchmarks(tmp_path: Path) -> None:
    write_report(inputs(), tmp_path, QUICK)
    assert not (tmp_path / "figures" / "radar.svg").exists()


def test_a_long_training_curve_is_drawn_as_means_of_steps() -> None:
    losses = [LossPoint(step, float(step)) for step in range(1, 8)]
    assert thinned(losses, 3) == [LossPoint(3, 2.0), LossPoint(6, 5.0), LossPoint(7, 7.0)]


def test_latex_tables_are_whole_and_escaped(whole: Path) -> None:
    text = (whole / "tables.tex").read_text(encoding="utf-8")
    tables = re.findall(r"(?s)\\begin\{table\}(.*?)\\end\{table\}", text)
    assert len(tables) == text.count(r"\begin{table}") >= 15
    labels = re.findall(r"\\label\{tab:([\w-]+)\}", text)
    assert len(set(labels)) == len(tables) == text.count(r"\caption{")
    for table in tables:
        body = table.partition(r"\toprule")[2].partition(r"\bottomrule")[0]
        rows = [line for line in body.splitlines() if line.endswith((r"\\", r"\\[.5ex]"))]
        assert len({len(re.findall(r"(?<!\\)&", line)) for line in rows}) == 1
        assert table.count(r"\begin{tabular}") == table.count(r"\end{tabular}") >= 1


def test_no_latex_command_of_a_user_survives() -> None:
    assert escaped(r"\input{/etc/passwd} 50 % of $x_1^2$ & #3 ~ <a|b>") == (
        r"\textbackslash{}input\{/etc/passwd\} 50 \% of \$x\_1\textasciicircum{}2\$ \& \#3 "
        r"\textasciitilde{} \textless{}a\textbar{}b\textgreater{}"
    )
    table = Table("t", "a\n\nb", (Column("c"),), (Row((Cell("[x]"),)), Row((Cell("-4.2"),))))
    text = latex_tables([table])
    assert r"\caption{a b}" in text
    assert "\n{}[x] \\\\\n" in text
    assert "\n\\ensuremath{-}4.2 \\\\\n" in text


def test_characters_that_hide_or_turn_text_are_named() -> None:
    assert visible("a\u202eb\u2066c\x00\x1b[31m\ud800\tn\n\u200f") == (
        "a[U+202E]b[U+2066]c[U+0000][U+001B][31m[U+D800]\tn\n\u200f"
    )


def test_names_for_figures_are_short_and_stay_different() -> None:
    long = "a benchmark with a very long name indeed: "
    found = shortened([f"{long}one", f"{long}two", "short"])
    assert max(map(len, found.values())) <= 32
    assert len(set(found.values())) == 3
    assert found["short"] == "short"


def test_more_than_a_page_of_examples_goes_to_linked_pages(tmp_path: Path) -> None:
    plain = inputs(
        answers=tuple(answer(at, "cells_open") for at in range(600)),
        examples=tuple(example(text=f"task {at}") for at in range(10)),
        n_answers=5000,
    )
    write_report(plain, tmp_path, ReportConfig(n_draws=100, n_answers=440))
    names = sorted(path.name for path in (tmp_path / "examples").iterdir())
    assert names == ["page-001.html", "page-002.html"]
    index, first, last = (
        (tmp_path / name).read_text(encoding="utf-8")
        for name in ("index.html", "examples/page-001.html", "examples/page-002.html")
    )
    assert [page.count("<article") for page in (index, first, last)] == [PAGE_SIZE, PAGE_SIZE, 50]
    assert "440 of 5000 answers shown" in index
    assert 'href="examples/page-001.html"' in index
    assert 'rel="next" href="page-002.html"' in first
    assert 'rel="prev" href="page-001.html"' in last
    assert 'rel="next"' not in last
    for page in (first, last):
        loads_nothing(page)
        assert 'href="../index.html"' in page
    policies = {re.search(r'Security-Policy" content="([^"]*)"', page)[1] for page in (index, first)}  # type: ignore[index]
    assert len(policies) == 1


def test_measurements_that_the_caller_has_are_not_made_again(tmp_path: Path) -> None:
    given = inputs()
    measured = report_measurements(given, QUICK)
    assert write_report(given, tmp_path / "a", QUICK, measurements=measured) == write_report(
        given, tmp_path / "b", QUICK
    )
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()}
        for name in ("a", "b")
    )
    assert first == second
    half = [replace(each, value=0.125) for each in measured if each.key == "macro/base/original"]
    assert write_report(given, tmp_path / "c", QUICK, measurements=half)["base"] == {"macro": 0.125}


def test_a_report_written_again_leaves_no_page_or_figure_of_the_one_before(tmp_path: Path) -> None:
    answers = tuple(answer(at, "cells_open") for at in range(250))
    config = ReportConfig(n_draws=100, n_answers=250)
    write_report(inputs(answers=answers), tmp_path, config)
    (tmp_path / "manifest.json").write_text("{}")
    assert (tmp_path / "examples" / "page-001.html").exists()
    write_report(inputs(answers=answers[:5], losses=()), tmp_path, config)
    assert not list((tmp_path / "examples").glob("*.html"))
    assert not list((tmp_path / "figures").glob("loss.*"))
    assert (tmp_path / "manifest.json").exists()


def ids_shown(answers: list[object], **limits: int) -> list[str]:
    found = shown(
        (),
        answers,  # type: ignore[arg-type]
        {},
        {},
        n_examples=0,
        n_answers=limits.get("n_answers", 1000),
        of_answers=0,
        seed=limits.get("seed", 0),
    )
    return [each.item_id for page in found.pages for each in page.answers]


def test_the_sample_of_answers_hangs_on_ids_and_the_seed_alone() -> None:
    given = [answer(at, "cells_open") for at in range(60)]
    drawn = ids_shown(given, n_answers=20)
    assert len(drawn) == 20
    assert drawn == sorted(drawn, key=lambda name: int(name.split()[1]))
    assert set(ids_shown(given[::-1], n_answers=20)) == set(drawn)
    assert set(ids_shown(given, n_answers=20, seed=1)) != set(drawn)
    left = [each for each in given if each.item_id != drawn[0]]
    assert set(drawn[1:]) <= set(ids_shown(left, n_answers=20))


def test_conditions_of_one_item_stand_together_in_the_draw() -> None:
    given = [replace(answer(at // 2, "b"), condition=("original", "blank")[at % 2]) for at in range(20)]
    order = [given[at].item_id for at in ranked(given, 0)]
    assert order[::2] == order[1::2]


def test_examples_stop_before_the_report_becomes_too_large() -> None:
    long = "&" * 2000
    given = [replace(answer(at, "b", long), item_id=f"i{at}") for at in range(1000)]
    drawn = ids_shown(given)  # type: ignore[arg-type]
    assert 100 < len(drawn) < 1000
    # Four texts of 2,000 escaped ampersands each.
    assert len(drawn) * 4 * 2000 * len("&amp;") <= MOST_BYTES


def both_shown(n_tasks: int, n_answers: int, text: str = "short") -> list[tuple[int, int]]:
    """Return the numbers of tasks and answers on each page."""
    tasks = [example(text=text) for _ in range(n_tasks)]
    answers = [replace(answer(at, "b", text), item_id=f"i{at}") for at in range(n_answers)]
    found = shown(tasks, answers, {}, {}, n_examples=n_tasks, n_answers=n_answers, of_answers=0, seed=0)
    return [(len(page.tasks), len(page.answers)) for page in found.pages]


def test_the_index_shows_tasks_and_answers_however_many_there_are() -> None:
    assert both_shown(300, 250) == [(100, 100), (200, 0), (0, 150)]
    assert both_shown(300, 30) == [(170, 30), (130, 0)]
    assert both_shown(24, 976) == [(24, 176), (0, 200), (0, 200), (0, 200), (0, 200)]
    assert both_shown(24, 176) == [(24, 176)]
    assert both_shown(0, 0) == [(0, 0)]


def test_large_tasks_leave_half_of_the_room_to_answers() -> None:
    pages_of = both_shown(1000, 1000, "&" * 2000)
    tasks, answers = (sum(each[at] for each in pages_of) for at in (0, 1))
    assert 50 < tasks < 1000
    assert 50 < answers < 1000
    # Five texts of a task and four of an answer, each of 2,000 escaped ampersands.
    assert tasks * 5 * 2000 * len("&amp;") <= MOST_BYTES / 2
    assert (tasks * 5 + answers * 4) * 2000 * len("&amp;") <= MOST_BYTES


def test_items_predictions_and_scores_are_joined_and_drawn_by_item() -> None:
    ref = ImageRef("a" * 64, 4, 4, "image/png")
    items = [
        Item(f"i{at}", "b", f"question {at}", ref, "open", ("red", "crimson"), (), "c") for at in range(9)
    ]
    predictions = [
        Prediction(
            item.id, "b", model, condition, ref if condition == "original" else None, f"{model}!", "stop"
        )
        for item in items
        for model in ("base", "adapted")
        for condition in ("original", "blank")
    ]
    marks = [
        Score(each.item_id, "b", each.model, each.condition, scorer, value, True, "", "c")
        for each in predictions
        for scorer, value in (("strict", 1.0), ("paper", 0.0))
    ]
    found = side_by_side(items, predictions, marks, {"b": "strict"}, n_most=4, seed=3)
    assert found.n_answers == 18
    assert len(found.answers) == 8
    assert set(found.images) == {ref.sha256}
    names = list(dict.fromkeys(each.item_id for each in found.answers))
    assert names == sorted(names)
    first = found.answers[0]
    assert (first.condition, first.gold, first.picture) == ("original", "red / crimson", ref.sha256)
    assert {role: (reply.text, reply.mark) for role, reply in first.replies.items()} == {
        "base": ("base!", 1.0),
        "adapted": ("adapted!", 1.0),
    }
    # The pages draw by the same order, so a sample of the sample is one of the whole.
    whole = side_by_side(items, predictions, marks, {"b": "strict"}, n_most=9, seed=3)
    for answers in (found.answers, whole.answers):
        best = [answers[at] for at in ranked(answers, 3)[:4]]
        assert {each.item_id for each in best} <= set(names)


def test_kept_examples_fill_the_room_that_rejected_ones_leave() -> None:
    given = [example(is_kept=at < 9) for at in range(10)]
    assert [each.is_kept for each in mixed(given, 6)] == [True] * 5 + [False]


def test_what_a_quality_analysis_wrote_becomes_tables() -> None:
    span = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10, "n_clusters": 10, "method": "bootstrap"}
    level: Mapping[str, object] = span | {"value": 4.0, "low": 3.5, "high": 4.5}
    one = {
        "tasks": 12, "pairs": 10, "sampled": 10, "rated": 10, "labels": {"consistent": 8}, "generators": {},
        "measures": {"diversity_17": span, "accuracy": level}, "task_types": {"OCR": 4}, "effective_types": 1,
        "image_domains": {"Medical": 10},
    }  # fmt: skip
    compared = {"first": "all", "second": "kept", "measure": "accuracy", "n_shared_pairs": 3, **span}
    types, tables = quality_from(
        {"judge_name": "rater", "note": "", "sets": {"all": one, "kept": one}, "comparisons": [compared]}
    )
    assert types == {"all": {"OCR": 4}, "kept": {"OCR": 4}}
    rows = {row[0]: row[1:] for row in tables[0].rows}
    assert rows["Diversity, of 17 types, %"] == ("50.0 (40.0 to 60.0)",) * 2
    assert rows["Accuracy, paper"] == ("80.0 (70.0 to 90.0)",) * 2
    assert rows["Accuracy, strict"] == ("75.0 (62.5 to 87.5)",) * 2
    assert "Rated by the model rater." in tables[0].note
    assert tables[2].rows == (("all", "kept", "Accuracy", "+0.50 levels (+0.40 to +0.60)", "3"),)
