"""What is removed from texts and data that are given away, and what stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from jepa_lab.report.redaction import REMOVED, Redaction

HERE = Redaction.of_environment(
    {"WANDB_API_KEY": "plain-words-as-a-key", "PATH": "/usr/bin", "HF_TOKEN": "abc"},
    Path("/home/mallory"),
    ("mallory", "gpu-node-7", "root"),
)


@pytest.mark.parametrize(
    "key", ["api_key", "WANDB_API_KEY", "logger.token", "password", "hub-secret", "dsn", "apikey"]
)
def test_the_value_of_a_secret_key_is_removed(key: str) -> None:
    assert HERE.data({"logger": {key: "swordfish"}}) == {"logger": {key: REMOVED}}
    assert HERE.data({key: ["one", "two"]}) == {key: REMOVED}
    assert "swordfish" not in HERE.text(f"a line with {key}=swordfish, and more")
    assert "swordfish" not in HERE.text(f'{{"{key}": "swordfish"}}')


@pytest.mark.parametrize(
    "secret",
    [
        "sk-abcdefghijklmnop1234",
        "ghp_0123456789abcdefghij01",
        "hf_abcdefghijklmnopqrst",
        "AKIAIOSFODNN7EXAMPLE",
        "0123456789abcdef0123456789abcdef01234567",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
    ],
)
def test_a_value_that_looks_like_a_secret_is_removed_under_any_key(secret: str) -> None:
    assert HERE.data({"note": f"see {secret}"}) == {"note": f"see {REMOVED}"}


def test_the_secrets_of_the_environment_are_removed_wherever_they_stand() -> None:
    assert HERE.text("it said plain-words-as-a-key twice") == f"it said {REMOVED} twice"
    assert HERE.text("abc") == "abc"  # too short to be looked for


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("/home/mallory/runs/a1b2", "~/runs/a1b2"),
        ("dataset.root=/home/mallory", "dataset.root=~"),
        ("/home/eve/data and eve's run", "~/data and <name>'s run"),
        ("/Users/eve/x.npz", "~/x.npz"),
        (r"C:\Users\eve\x.npz", r"~\x.npz"),
        ("/scratch/lab/mallory/imagenet", ".../imagenet"),
        ("runs_mallory/b", "runs_<name>/b"),
        ("on gpu-node-7", "on <name>"),
        ("write to eve@example.org", "write to <email>"),
        ("https://eve:pw@example.org/x", f"https://{REMOVED}@example.org/x"),
    ],
)
def test_places_and_names_are_removed(text: str, clean: str) -> None:
    assert HERE.text(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "runs/teacherless_b/7fc06ce610",
        "vq.window_tokens=16384 dataset.tokeniser=objects",
        "dataset.root=data",
        "val/probe/class_from_z_agg 0.917",
        "verdict: healthy: z effective rank 49.0 (7.5 at start), spread 0.79; 0.3 / 0.5",
        "dimensional_collapse of z since step 40 | prediction: learned",
    ],
)
def test_what_a_report_is_about_stays(text: str) -> None:
    assert HERE.text(text) == text


def test_numbers_and_empty_values_stay() -> None:
    plain = {"lr": 0.1, "token": None, "password": "", "widths": [8, 16], "clip": False}
    assert HERE.data(plain) == plain
