"""python -m jepa_lab.preview draws what the model would see."""

from __future__ import annotations

from pathlib import Path

import pytest

from jepa_lab import preview


@pytest.mark.parametrize("dataset", ["digits_rot", "digits_affine", "digits_aug", "digits_saccade"])
def test_every_kind_of_view_is_drawn(
    dataset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    preview.main([f"dataset={dataset}", "--rows", "3"])
    assert capsys.readouterr().out.strip() == f"preview_{dataset}.png"
    assert (tmp_path / f"preview_{dataset}.png").stat().st_size > 5000


def test_more_views_make_a_wider_picture_and_out_sets_its_path(tmp_path: Path) -> None:
    from PIL import Image

    widths = []
    for n in (3, 6):
        preview.main([f"dataset.n_views={n}", "--rows=2", f"--out={tmp_path / f'{n}.png'}"])
        with Image.open(tmp_path / f"{n}.png") as image:
            widths.append(image.width)
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.05)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["dataset=digit_rot"], "did you mean 'digits_rot'?"),
        (["dataset.n_view=3"], "did you mean 'n_views'?"),
        (["dataset=npz", "dataset.path=nowhere.npz"], "no such file"),
        (["--rows", "none"], "--rows none"),
        (["--rows", "100000"], "from 1 to 64"),
        (["-m", "seed=0,1"], "-m: not an option of preview"),
        (["--out", "."], "the name of a .png file"),
        (["--rows"], "--rows: a value is missing"),
        (["--out", "no/such/folder.png/x.png", "dataset=npz"], "dataset.path is missing"),
    ],
)
def test_a_preview_that_cannot_be_drawn_gives_one_line(
    args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        preview.main(args)
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
