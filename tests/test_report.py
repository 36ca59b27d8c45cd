"""The pages: what they say follows from the intervals, what users wrote is shown and never run."""

import base64
import html.parser
import io
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from acclimate.errors import BenchmarkError
from acclimate.records import Measurement, Score
from acclimate.report.claims import headline, points, standing
from acclimate.report.inputs import (
    Audit,
    BenchmarkFacts,
    Example,
    LossPoint,
    ReportInputs,
    RoomSummary,
)
from acclimate.report.stage import ReportConfig, write_report

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


def test_the_page_is_well_formed_and_loads_nothing(tmp_path: Path) -> None:
    page, _ = pages(tmp_path, inputs())
    reader = read(page)
    assert {tag for tag, _, _ in reader.attributes} & {"script", "link", "iframe"} == set()
    for _, name, value in reader.attributes:
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert value.startswith("data:image/")
    assert "url(" not in page
    assert "http:" not in re.sub(r"data:image/[^\"]*", "", page)


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
    assert "<script" not in page
    assert "onerror" not in {name for _, name, _ in reader.attributes}
    assert ATTACK in reader.text
    outside_code = re.sub(r"(?ms)^(`{3,}).*?^\1$", "", markdown)
    assert "<script" not in outside_code
    assert "[a](javascript" not in outside_code


def test_only_pictures_become_data_uris(tmp_path: Path) -> None:
    hostile = replace(example(), image=b"<svg onload='alert(1)'/>", media_type="image/svg+xml")
    odd = replace(example(), media_type='text/html"><script>')
    page, _ = pages(tmp_path, inputs(examples=(example(), hostile, odd, example(image=b""))))
    found = re.findall(r'<article class="task">\s*(<img src="([^"]*)")?', page)
    assert [bool(uri) for _, uri in found] == [True, False, False, False]
    assert base64.b64decode(found[0][1].partition("base64,")[2]) == picture()


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_report(inputs(), tmp_path / name, QUICK)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert [str(path) for path in files] == [
        "figures/gain.svg",
        "figures/loss.svg",
        "figures/reliance.svg",
        "index.html",
        "report.md",
        "summary.json",
    ]
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
    for shown in (read(page).text, markdown.replace("\\", "")):
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
            assert part in shown, part
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
    for absent in ("gain</th>", "Use the checkpoint", "Training loss", "Does the model look"):
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
    assert page.count('<article class="task">') == 24
    assert page.count(">kept") - page.count(">kept,") == 12
