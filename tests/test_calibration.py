"""Calibration: labelled CSV files, precision and recall by threshold, the threshold that is picked."""

import math
from pathlib import Path

import pytest

from acclimate.curate.calibration import calibrate
from acclimate.curate.labelled import LabelledTriplet, read_labelled, write_labelled
from acclimate.curate.stage import CurateConfig
from acclimate.curate.tables import read_table, write_table
from acclimate.curate.thresholds import table, thresholds
from acclimate.engines.fake import FakeEngine
from acclimate.engines.protocol import ChoiceRequest
from acclimate.errors import DataError, UsageError
from acclimate.records import JudgedTriplet, Label, Rejection, Triplet

HEADER = "instruction,informative,precise,label\n"


def _file(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "labelled triplets ü.csv"
    path.write_bytes(text.encode(encoding))
    return path


def _triplet(name: str, precise: str = "two", instruction: str = "How many?") -> Triplet:
    return Triplet(name, "p", instruction, "There are two.", precise, "synthesizer", "r")


def _p(yes: float, no: float) -> tuple[float, float, float]:
    return yes, no, 1 - yes - no


# Known verdicts with the judge's probability of Yes, worked through by hand below.
TRUTHS: list[Label] = ["consistent", "consistent", "inconsistent", "consistent", "open", "inconsistent"]
P = [_p(0.90, 0.05), _p(0.70, 0.20), _p(0.65, 0.30), _p(0.45, 0.40), _p(0.40, 0.10), _p(0.10, 0.85)]


def test_precision_and_recall_by_threshold_are_the_hand_counted_ones() -> None:
    found = thresholds(TRUTHS, P, grid=(0.0, 0.42, 0.5, 0.68, 0.8, 0.95))
    seen = [(row.n_kept, row.n_right) for row in found.rows]
    # At 0 the last two are still not kept: Yes does not lead there.
    assert seen == [(4, 3), (4, 3), (3, 2), (2, 2), (1, 1), (0, 0)]
    assert [row.precision for row in found.rows] == [0.75, 0.75, 2 / 3, 1.0, 1.0, None]
    assert [row.recall for row in found.rows] == [1.0, 1.0, 2 / 3, 2 / 3, 1 / 3, 0.0]
    # F0.5 = 1.25 p r / (0.25 p + r)
    expected = [0.9375 / 1.1875, 0.9375 / 1.1875, 2 / 3, (1.25 * 2 / 3) / (0.25 + 2 / 3), None]
    assert [found.rows[at].f_half for at in (0, 1, 2, 3, 5)] == pytest.approx(expected)
    assert (found.n, found.n_consistent) == (6, 3)


def test_the_highest_f_half_is_picked_and_its_verdicts_are_counted() -> None:
    found = thresholds(TRUTHS, P, grid=(0.0, 0.42, 0.5, 0.68, 0.8, 0.95))
    assert found.picked is found.rows[3]
    # 0.90 and 0.70 are kept; 0.65 and 0.45 fall to No, 0.40 to Open, 0.10 to No.
    assert found.confusion == {
        ("consistent", "consistent"): 2,
        ("consistent", "inconsistent"): 1,
        ("inconsistent", "inconsistent"): 2,
        ("open", "open"): 1,
    }


def test_a_least_precision_picks_the_threshold_that_keeps_most_right_ones() -> None:
    grid = (0.0, 0.42, 0.5, 0.68, 0.8, 0.95)
    kept = thresholds(TRUTHS, P, least_precision=0.7, grid=grid).picked
    assert kept is not None
    assert (kept.threshold, kept.recall) == (0.0, 1.0)
    strict = thresholds(TRUTHS, P, least_precision=0.9, grid=grid).picked
    assert strict is not None
    assert strict.threshold == 0.68


def test_the_middle_of_equally_good_thresholds_is_picked() -> None:
    truths: list[Label] = ["consistent", "inconsistent"]
    found = thresholds(truths, [_p(0.9, 0.1), _p(0.2, 0.8)])
    assert found.picked is not None
    # All of 0.00 to 0.90 keep the first alone: nineteen rows, of which the tenth is 0.45.
    assert found.picked.threshold == 0.45


def test_nothing_is_picked_where_no_threshold_does_what_was_asked() -> None:
    truths: list[Label] = ["inconsistent", "consistent"]
    found = thresholds(truths, [_p(0.9, 0.1), _p(0.6, 0.4)], least_precision=0.95)
    assert found.picked is None
    assert found.confusion == {}
    assert table(found)[-1].startswith("No threshold is picked")


def test_the_margin_is_kept_while_thresholds_are_tried() -> None:
    truths: list[Label] = ["consistent", "inconsistent"]
    p = [_p(0.5, 0.1), _p(0.5, 0.4)]
    assert thresholds(truths, p, grid=(0.4,)).rows[0].n_kept == 2
    assert thresholds(truths, p, margin=0.15, grid=(0.4,)).rows[0].n_kept == 0
    assert thresholds(truths, p, margin=0.05, grid=(0.4,)).rows[0].n_kept == 2
    three = [(0.6, 0.1, 0.3), _p(0.5, 0.4)]
    assert thresholds(truths, three, margin=0.2, grid=(0.4,)).rows[0].n_kept == 1


def test_precision_has_wilsons_interval() -> None:
    truths: list[Label] = ["consistent"] * 8 + ["inconsistent"] * 2
    row = thresholds(truths, [_p(0.9, 0.1)] * 10, grid=(0.5,)).rows[0]
    # Wilson's interval of 8 in 10, as published tables give it: 0.490 to 0.943.
    assert (row.precision_low, row.precision_high) == pytest.approx((0.490, 0.943), abs=0.0005)


@pytest.mark.parametrize(
    ("delimiter", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-8-sig"), (";", "utf-8")]
)
def test_a_labelled_file_is_read_however_a_spreadsheet_saves_it(
    tmp_path: Path, delimiter: str, encoding: str
) -> None:
    lines = ["Precise;id;LABEL;instruction;Informative", "zwei;1;Yes;Wie viele?;Es sind zwei."]
    lines += ["", "3;2;open;How many?;None."]
    path = _file(tmp_path, "\r\n".join(line.replace(";", delimiter) for line in lines), encoding)
    assert read_labelled(path) == [
        LabelledTriplet(2, "Wie viele?", "Es sind zwei.", "zwei", "consistent"),
        LabelledTriplet(4, "How many?", "None.", "3", "open"),
    ]


def test_a_bad_row_is_named_by_file_and_row_and_the_others_are_read(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        HEADER
        + '"Which one,\nleft or right?",It lies left.,left,yes\n'
        + "How many?,Two.,two,maybe\n"
        + "How many?,Two.,,yes\n"
        + "How many?,Two, or three.,two,yes\n"
        + "How many?,Two.\n"
        + "How many?,Two.,two,inconsistent\n",
    )
    rows = read_labelled(path)
    assert [row.reason if isinstance(row, Rejection) else row.row for row in rows] == [
        *(2, "bad_label", "missing_text", "bad_row", "bad_row", 7),
    ]
    assert isinstance(rows[0], LabelledTriplet)
    assert rows[0].instruction == "Which one,\nleft or right?"
    assert isinstance(rows[1], Rejection)
    assert rows[1].detail.startswith("labelled triplets ü.csv, row 3: the label is 'maybe'")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("instruction,informative,precise\nq,i,p\n", "no column label"),
        ("", "no column instruction"),
        ("instruction,informative,precise,label,label\nq,i,p,yes,no\n", "two columns named label"),
        (HEADER + 'q,"i,p,yes\n', "not a CSV file"),
    ],
)
def test_a_file_of_another_shape_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_labelled(_file(tmp_path, text))
    assert "labelled triplets" in str(caught.value)


def test_a_missing_file_and_one_in_another_encoding_are_data_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_labelled(tmp_path / "none.csv")
    with pytest.raises(DataError, match="CSV UTF-8"):
        read_labelled(_file(tmp_path, HEADER + "Größe?,zwei,2,yes\n", "latin-1"))


def test_written_triplets_are_read_back_as_they_were(tmp_path: Path) -> None:
    texts = [
        "=1+1",
        "-5",
        "'=x",
        "+a,b;c\td",
        'say "two"\nor "three"',
        "@SUM(A1)",
        "“ü” 左",
        "plain",
        "'quoted'",
    ]
    judged = [
        JudgedTriplet(f"t{at}", "p", f"Q{at}?", text, text, "s", "open", 0.1, 0.2, 0.7, "j")
        for at, text in enumerate(texts)
    ]
    extra = [_triplet("unlabelled"), _triplet("one answer", ""), _triplet("nobody")]
    labels: dict[str, Label] = {row.id: "inconsistent" for row in judged}
    labels |= {"t1": "consistent", "one answer": "consistent", "nobody": "unjudged"}
    path = tmp_path / "out" / "labelled.csv"
    assert write_labelled(path, [*judged, *extra], labels) == len(texts)
    rows = read_labelled(path)
    assert [row.precise for row in rows if isinstance(row, LabelledTriplet)] == texts
    assert [row.label for row in rows if isinstance(row, LabelledTriplet)] == [
        "consistent" if at == 1 else "inconsistent" for at in range(len(texts))
    ]
    raw = path.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    assert b",=1+1" not in raw


def test_a_table_row_keeps_its_place_among_empty_rows(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", ("a", "b"), [["1", "2"], ["", ""], ["3", ""]])
    assert [(row.number, dict(row.cells)) for row in read_table(tmp_path / "t.csv", ("b",))] == [
        (2, {"a": "1", "b": "2"}),
        (4, {"a": "3", "b": ""}),
    ]


def _labelled(label: Label, precise: str, row: int = 2) -> LabelledTriplet:
    return LabelledTriplet(row, "How many?", "There are two.", precise, label)


def test_calibration_asks_the_filters_own_prompt_and_picks_from_its_answers() -> None:
    asked: list[str] = []

    def choose(request: ChoiceRequest) -> list[float]:
        text = request.messages[0].text
        asked.append(text)
        yes = float(text.split("precise=")[1])
        return [math.log(yes), math.log(1 - yes), -99.0]

    rows: list[LabelledTriplet | Rejection] = [
        _labelled("consistent", "0.9"),
        _labelled("inconsistent", "0.7"),
        _labelled("consistent", "0.8"),
        _labelled("consistent", "0.8"),
        Rejection("row 9", "curate", "bad_label", "file.csv, row 9: the label is 'x'"),
    ]
    config = CurateConfig(prompt="{instruction}|{informative}|precise={precise}", threshold=0.1)
    engine = FakeEngine(lambda _: "", choose)
    found = calibrate(rows, engine, config, log=None, least_precision=1.0)
    assert asked[0] == "How many?|There are two.|precise=0.9"
    assert found.thresholds.picked is not None
    assert found.thresholds.picked.threshold == 0.75
    assert found.thresholds.picked.recall == 1.0
    lines = found.lines()
    assert lines[0] == "Not used: file.csv, row 9: the label is 'x'"
    assert "4 labelled triplets, 3 of them consistent; margin 0.00" in lines
    assert any(line.startswith("     0.75      3      3") and line.endswith("<-") for line in lines)
    assert any(line.startswith("Picked: curate.threshold=0.75") for line in lines)
    whole = found.to_json()
    assert whole["picked"] == 0.75
    assert whole["confusion"] == {"consistent/consistent": 3, "inconsistent/inconsistent": 1}


def test_calibration_refuses_what_it_cannot_measure() -> None:
    engine = FakeEngine(lambda _: "", lambda _: [0.0, -1.0, -1.0])
    both: list[LabelledTriplet | Rejection] = [_labelled("consistent", "a"), _labelled("open", "b")]
    for config in (CurateConfig(judge="none"), CurateConfig(method="self_consistency")):
        with pytest.raises(UsageError, match="reads a prompt"):
            calibrate(both, engine, config, log=None)
    bad = Rejection("row 3", "curate", "bad_row", "f.csv, row 3: the row has 2 cells")
    for rows in ([both[0], bad], [both[1], bad], [bad]):
        with pytest.raises(DataError, match=r"f\.csv, row 3"):
            calibrate(rows, engine, CurateConfig(), log=None)
