"""How sure readings are: curves that rise, and say no more than what was measured."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.generator import reliability
from examples.generator.making import write
from examples.generator.reliability import Sample
from services.agent.reading import calibration, read_document

SOURCES = ("TEXT_LAYER", "OCR")
SURE = 0.95


def measured(count: int, seed: int, layout: str = "") -> list[Sample]:
    """Fields that are right as often as the square of their score says."""
    chance = random.Random(seed)
    scores = [round(chance.random(), 2) for _ in range(count)]
    return [Sample("OCR", "gross", s, chance.random() < s * s, layout) for s in scores]


def test_the_curves_that_are_shipped_rise_and_call_nothing_certain():
    curves = json.loads(calibration.FILE.read_text())
    assert set(curves) == set(SOURCES)
    for known in curves.values():
        assert calibration.ANY in known
        for curve in known.values():
            assert curve == sorted(curve)
            assert [share for _, share in curve] == sorted(share for _, share in curve)
            assert all(0 <= share <= reliability.SURE_MAX for _, share in curve)


def test_a_fit_says_what_was_measured_on_fields_that_it_did_not_see():
    curves = reliability.fit(measured(4_000, seed=1))
    judged = [
        reliability.replace(each, score=calibration.of_curves(curves, "OCR", "gross", each.score))
        for each in measured(4_000, seed=2)
    ]
    for _, _, said, right, count in reliability.reliability(judged):
        assert count < 100 or abs(said - right) < 0.1


def test_few_right_fields_are_no_certainty_and_equal_scores_are_equally_sure():
    few = [Sample("OCR", "gross", 0.9, right=True) for _ in range(reliability.BLOCK)]
    curves = reliability.fit(few)
    assert calibration.of_curves(curves, "OCR", "gross", 0.9) == pytest.approx(25 / 26, abs=1e-3)
    mixed = [Sample("OCR", "gross", 0.9, right=number % 2 == 0) for number in range(500)]
    assert len(reliability.fit(mixed)["OCR"]["gross"]) == 1


def test_a_layout_is_judged_by_the_others_alone():
    good = [Sample("OCR", "gross", 0.9, True, "letter") for _ in range(100)]
    bad = [Sample("OCR", "gross", 0.9, False, "strip") for _ in range(100)]
    judged = reliability.unseen([*good, *bad])
    assert [each.score for each in judged if each.layout == "letter"] == [0.0] * 100
    assert [round(each.score, 2) for each in judged if each.layout == "strip"] == [0.99] * 100


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(["gross", "lines", "unheard_of"]))
def test_a_higher_score_is_never_less_sure(one, other, field):
    low, high = sorted((one, other))
    for source in SOURCES:
        probability = calibration.probability
        assert 0 <= probability(source, field, low) <= probability(source, field, high) <= 1


def test_what_an_e_invoice_says_stays_certain_and_what_has_no_curve_stays_as_it_is():
    assert calibration.probability("E_INVOICE", "gross", 1.0) == 1.0
    assert calibration.of_curves({}, "OCR", "gross", 0.42) == 0.42


def test_other_values_of_a_field_share_what_the_chosen_one_leaves():
    other = {"value": "2.00", "confidence": 0.9}
    found = {"value": "1.00", "confidence": 0.99, "source": "TEXT_LAYER", "candidates": [other]}
    answer = calibration.calibrated({"fields": {"gross": found}, "lines": []})["fields"]["gross"]
    [kept] = answer["candidates"]
    assert answer["confidence"] + kept["confidence"] <= 1
    assert other["confidence"] == 0.9


def test_lines_that_come_to_the_net_are_surer_than_others():
    line = {"amount": "60.00", "confidence": 0.9, "description": "Toner"}
    net = {"value": "120.0"}
    right = calibration.weighed({"fields": {"net": net}, "lines": [line, line]})
    wrong = calibration.weighed({"fields": {"net": net}, "lines": [line]})
    assert right["lines"][0]["confidence"] == 0.9
    assert wrong["lines"][0]["confidence"] < 0.7
    nameless = {**line, "description": ""}
    found = calibration.weighed({"fields": {"net": net}, "lines": [line, nameless]})
    assert [each["confidence"] for each in found["lines"]] == [0.9, 0.45]


def test_a_value_that_a_made_page_does_not_show_is_wrong():
    def read(value):
        return {"value": value, "confidence": 0.8, "source": "TEXT_LAYER"}

    answer = {"fields": {"due_date": read("2026-01-02"), "gross": read("5.0")}, "lines": []}
    made = {"gross": "5.00", "made": {"layout": "band"}}
    samples = {each.field: each for each in reliability.samples_of(answer, made)}
    assert (samples["gross"].right, samples["due_date"].right) == (True, False)
    assert samples["gross"].layout == "band"
    assert [each.field for each in reliability.samples_of(answer, {"gross": "5.00"})] == ["gross"]


def test_of_made_fields_given_as_sure_nineteen_of_twenty_are_right(tmp_path: Path):
    for index in range(40):
        write(tmp_path, "unseen", "page", index, seed=404)
    samples = list(reliability.read_all([tmp_path], raw=False))
    sure = [each.right for each in samples if each.score >= SURE]
    assert len(sure) > 200
    assert sum(sure) / len(sure) >= SURE
    assert f"Of {len(sure)} given with at least 0.95" in reliability.table(samples)


def test_raw_scores_are_given_where_they_are_asked_for(tmp_path: Path):
    write(tmp_path, "unseen", "page", 0, seed=404)
    [file] = tmp_path.glob("*.pdf")
    raw, sure = (read_document(file.read_bytes(), options={"raw": raw}) for raw in (True, False))
    assert {name: each["value"] for name, each in raw["fields"].items()} == {
        name: each["value"] for name, each in sure["fields"].items()
    }
    assert raw["fields"]["gross"]["confidence"] != sure["fields"]["gross"]["confidence"]


def test_a_fit_leaves_the_curves_of_sources_that_it_has_few_fields_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "curves.json"
    known = {"OCR": {"any": [[0.5, 0.5]]}, "TEXT_LAYER": {"any": [[0.9, 0.9]]}}
    file.write_text(json.dumps(known))
    monkeypatch.setattr(reliability, "FILE", file)
    few = [Sample("TEXT_LAYER", "gross", 0.4, True)] * 60
    many = [Sample("OCR", "gross", 0.8, True)] * reliability.SAMPLES_MIN
    reliability.write(reliability.fit([*few, *many]), [*few, *many])
    curves = json.loads(file.read_text())
    assert curves["TEXT_LAYER"] == known["TEXT_LAYER"]
    assert curves["OCR"] != known["OCR"]
