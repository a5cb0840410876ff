"""Trains the runs of docs/results/arc.md: five seeds of the failing recipe, of the changes that its
authors tried, and of every correction on its own. Finished runs are skipped, unfinished runs are
resumed.

    python studies_docs/arc_runs.py --runs-dir runs [--seeds 0,1,2,3,4] [--part 1/2]
                                    [--only NAME ...]

Each arm is an ordinary multirun sweep. `--part 1/2` and `2/2` in two shells use two cores.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

SIXTH = "+experiment=arc_sixth_run"
DEMOS = [
    "dataset.problem=demos",
    "dataset.synthetic.pairs=[3,1]",
    "model.roles=true",
    *(f"dataset.{split}_tasks={n}" for split, n in (("train", 320), ("val", 64), ("test", 64))),
]
BASE = {
    "the failing recipe": [SIXTH],
    "the same with the published 768 codes": [SIXTH, "vq.size=768"],
}
TRIED = {  # changes that the authors tried or planned
    "no codebook": ["+experiment=arc_no_vq"],
    "no refresh": ["+experiment=arc_vq_no_refresh"],
    "commitment .3 to .15": ["+experiment=arc_vq_low_commitment"],
    "refresh 2,000 / .01": ["+experiment=arc_vq_gentle_refresh"],
    "the gentle bundle": ["+experiment=arc_vq_gentle"],
    "codebook without its average": ["+experiment=arc_vq_gradient"],
    "InfoNCE only": ["+experiment=arc_infonce_only"],
    "the minimum": ["+experiment=arc_minimal"],
    "wide temperature": ["+experiment=arc_wide_temperature"],
}
CORRECTIONS = {  # each on its own, applied to the failing recipe
    "commitment in the objective": [SIXTH, "vq.in_objective=true", "vq.weight_on=commitment"],
    "codebook begun from data": [SIXTH, "vq.init=kmeans"],
    "one update a step": [
        SIXTH,
        "vq.update=step",
        "vq.count_padding=false",
        "vq.refresh.interval=36",
    ],
    "one codebook for both branches": [SIXTH, "vq.share=true"],
    "consistent revival, relative to uniform use": [
        SIXTH,
        "vq.refresh.rule=relative",
        "vq.refresh.threshold=0.1",
        "vq.refresh.cap=0.1",
        "vq.refresh.interval=20",
    ],
    "all five of the codebook": [SIXTH, "vq=codebook"],
    "demonstrations as context": [SIXTH, *DEMOS],
    "a predictor": [SIXTH, "model.predictor=mlp"],
    "a head with a linear end": [SIXTH, "model.projection_form=linear_end"],
    "a norm at the encoder's end": [SIXTH, "model.final_norm=true"],
    "objects as tokens": [SIXTH, "dataset.slot_features=objects", "loss.invariance.form='true'"],
    "SIGReg as its authors have it": [SIXTH, "loss.sigreg.form=reference"],
    "invariances that are symmetries": [SIXTH, "loss.invariance.form='true'"],
    "relations normalised and matched": [
        SIXTH,
        "loss.relational.form=normalised",
        "loss.relational.self_weight=0",
    ],
    "temperature in a soft, wide range": [
        SIXTH,
        "loss.temperature.bound=soft",
        "loss.temperature.min=0.03",
        "loss.temperature.max=0.3",
    ],
    "warm-up over 5 % of the run": [SIXTH, "optim.warmup=0.05"],
    "everything": [
        SIXTH,
        *DEMOS,
        "vq=codebook",
        "loss=info_nce",
        "model=arc_jepa",
        "model.width=48",
        "model.projection=32",
        "model.hidden=96",
        "dataset.slot_features=objects",
        "optim=adamw",
        *(f"dataset.augment.{name}=true" for name in ("palette", "symmetry", "translation")),
    ],
}
REAL = {"arc_jepa on ARC-AGI-1": ["+experiment=arc_jepa"]}
ARMS = {**BASE, **TRIED, **CORRECTIONS, **REAL}


def main() -> None:
    """Runs the requested sweeps one after another. The exit code is 1 if one of them failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs-dir", default="runs")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--part", default="1/1", help="k/n: every n-th arm, starting with the k-th")
    parser.add_argument("--only", nargs="*", help="names of arms")
    args = parser.parse_args()
    k, n = map(int, args.part.split("/"))
    arms = [name for name in ARMS if not args.only or name in args.only]
    failed = []
    for name in arms[k - 1 :: n]:
        overrides = [
            *ARMS[name],
            "tier=quick",
            f"seed={args.seeds}",
            f"runs_dir={args.runs_dir}",
            "hardware.threads=1",
        ]
        print(f"\n== {name}\npython -m jepa_lab -m {' '.join(overrides)}", flush=True)
        done = subprocess.run([sys.executable, "-m", "jepa_lab", "-m", *overrides], check=False)
        if done.returncode:
            failed.append(name)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
