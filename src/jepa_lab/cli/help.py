"""The text of --help. It lists the experiments and the groups, each with the first comment of its
file in conf/.

It imports only the standard library, so that it answers before Hydra or torch could.
"""

from __future__ import annotations

from jepa_lab.cli.verbs import VERBS
from jepa_lab.config.groups import conf_dir, first_comment, folder_of, groups_of, options_of

_USAGE = """\
jepa-lab trains joint-embedding predictive models and reports at the end whether the representation
collapsed.

  python -m jepa_lab +experiment=NAME [group=option ...] [key=value ...]      one run
  python -m jepa_lab -m +experiment=NAME loss.lambda_rate=1e-3,1e-2 seed=0,1  every combination
  python -m jepa_lab +experiment=NAME --cfg job             print the configuration, run nothing

The same command resumes runs that were stopped or killed and skips finished runs.

Other commands, each with --help: jepa-lab VERB ..., or python -m jepa_lab.VERB ...
"""


def help_text() -> str:
    """Returns usage, experiments, groups and the keys that are changed most often."""
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
    ("seed", "seed of the weights, the views and the order of the data"),
    ("loss.lambda_rate", "weight of the coding rate; 0 switches it off"),
    ("loss.rate_target", "z_agg, z or both"),
    ("dataset.n_views", "views per sequence, including the target view"),
    ("dataset.batch_size", "sequences per step"),
    ("dataset.epochs", "passes over the training images"),
    ("optim.lr", "highest learning rate"),
    ("runs_dir", "folder of all runs"),
    ("on_existing", "resume (default), restart or error"),
    (
        "max_wall_s",
        "seconds after which the command stops with a checkpoint; the same command resumes it",
    ),
    ("sweep.fail_fast", "true: end a sweep at its first failed job"),
    (
        "hydra/launcher",
        (
            "joblib, submitit_local or submitit_slurm: run the jobs of a sweep in parallel"
            " (docs/sweeps.md)"
        ),
    ),
    (
        "hydra/sweeper",
        "search: Optuna proposes settings from the results of earlier ones (docs/sweeps.md)",
    ),
    ("gates.strict", "true: exit with code 3 if a gate of the tier fails"),
    ("diagnosis.on_nan", "stop (default) or skip the step if a loss or gradient is not finite"),
]
