"""The colours of the pages have the contrast that WCAG 2.2 AA asks for, in light and in dark."""

import re

import pytest

from jepa_lab.report.templates import render

TEXT = ("ink", "soft", "link", "good", "note", "bad")  # 4.5 : 1
SHAPES = (
    "edge",
    "bad",
    *(f"c{i}" for i in range(8)),
)  # 3 : 1: lines, marks and borders of controls


def palettes() -> dict[str, dict[str, str]]:
    """Returns the colours of every scheme, by the selector that sets them."""
    style = render("style.css")
    rules = re.findall(r"(:root[^{}]*)\{([^{}]*)\}", style)
    return {
        selector.strip(): dict(re.findall(r"--(\w+): *(#[0-9a-f]{6})", body))
        for selector, body in rules
    }


def contrast(one: str, other: str) -> float:
    """Returns the ratio of the relative luminances, from 1 to 21."""

    def luminance(colour: str) -> float:
        values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_ratio_is_that_of_the_guidelines() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


def test_the_system_and_the_button_choose_the_same_colours() -> None:
    light, system_dark, chosen_dark = palettes().values()
    assert system_dark == chosen_dark
    assert light.keys() == chosen_dark.keys()
    assert light["page"] != chosen_dark["page"]


@pytest.mark.parametrize("scheme", [0, 1])
def test_texts_and_lines_stand_out_from_what_they_stand_on(scheme: int) -> None:
    colours = list(palettes().values())[scheme]
    weak = [
        (name, ground)
        for names, grounds, least in ((TEXT, ("page", "card"), 4.5), (SHAPES, ("page",), 3.0))
        for name in names
        for ground in grounds
        if contrast(colours[name], colours[ground]) < least
    ]
    assert weak == []
    assert contrast(colours["page"], colours["bad"]) >= 4.5  # the number of a mark on its badge
