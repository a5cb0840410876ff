"""--help: the experiments and the groups with a line each, read from the first comment of every
file in conf/.

Imports nothing but the standard library: it answers before Hydra or torch could.
"""

from __future__ import annotations

from jepa_lab.cli.verbs import VERBS
from jepa_lab.config.groups import conf_dir, first_comment, folder_of, groups_of, options_of

_USAGE = """\
jepa-lab trains joint-embedding predictive models and says at the end whether the representation
collapsed.

  python -m jepa_lab +experiment=NAME [group=option ...] [key=value ...]      one run
  python -m jepa_lab -m +experiment=NAME loss.lambda_rate=1e-3,1e-2 seed=0,1  every combination
  python -m jepa_lab +experiment=NAME --cfg job             print the configuration, run nothing

The same line typed again continues what was stopped or killed and skips what is finished.

Other commands, each with --help: jepa-lab VERB ..., or python -m jepa_lab.VERB ...
"""


def help_text() -> str:
    """Usage, experiments, groups and the keys people change most."""
    conf = conf_dir()
    lines = [_USAGE, *(f"  {verb:<20} {text}" for verb, text in VERBS.items()), ""]
    groups = [
        (f"{group}=", folder_of(conf, group)) for group in groups_of(conf) if group != "experiment"
    ]
    for title, folder in [("Experiments (+experiment=)", conf / "experiment"), *groups]:
        lines.append(title)
        lines += [
            f"  {name:<20} {first_comment(folder / f'{name}.yaml')}" for name in options_of(folder)
        ]
        lines.append("")
    lines.append("Keys most often changed")
    lines += [f"  {key:<24} {text}" for key, text in _KEYS]
    return "\n".join(lines)


_KEYS = [
    ("seed", "of weights, views and order"),
    ("loss.lambda_rate", "weight of the coding rate; 0 is none"),
    ("loss.rate_target", "z_agg, z or both"),
    ("dataset.n_views", "views a sequence, the target view included"),
    ("dataset.batch_size", "sequences a step"),
    ("dataset.epochs", "passes over the training images"),
    ("optim.lr", "highest learning rate"),
    ("runs_dir", "where runs are kept"),
    ("on_existing", "resume (default), restart or error"),
    (
        "max_wall_s",
        "seconds after which the command stops with a checkpoint; the same command resumes it",
    ),
    ("sweep.fail_fast", "true: a sweep ends at its first failed job"),
    (
        "hydra/launcher",
        (
            "joblib, submitit_local or submitit_slurm: the jobs of a sweep in parallel"
            " (docs/sweeps.md)"
        ),
    ),
    (
        "hydra/sweeper",
        "search: settings proposed by Optuna from what the earlier ones gave (docs/sweeps.md)",
    ),
    ("gates.strict", "true: exit code 3 where a gate of the tier fails"),
    ("diagnosis.on_nan", "stop (default) or skip, at a loss or gradient that is not finite"),
]
