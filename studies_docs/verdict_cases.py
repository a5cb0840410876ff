"""The real case of every status: a run, what is drawn of it, and the run that it stands beside."""

from __future__ import annotations

from dataclasses import dataclass

BRANCH = " --at "  # divides the command line of a run from the options of `jepa_lab.branch`


@dataclass(frozen=True)
class Panel:
    """A curve: the metric's key, its name on the axis, and the limit that the rule reads, if it is
    a number that does not depend on the run. `lowest` is the end of the axis below which values are
    not drawn."""

    key: str
    label: str
    limit: float | None = None
    log: bool = False
    lowest: float | None = None


@dataclass(frozen=True)
class Case:
    """A run that ended with a status, and what is drawn of it.

    `run` is the name of a labelled run of the benchmark, or a command line that makes a run of
    ours; what follows BRANCH in it makes a branch of that run. `beside` is another one, drawn for
    comparison. `what` and `beside_what` say in a few words how the two were made. A run that
    `went_through` the status ended with another one.
    """

    status: str
    run: str
    what: str
    panels: tuple[Panel, ...]
    beside: str = ""
    beside_what: str = ""
    went_through: bool = False


SIMSIAM_BN = "digits.resnet.simsiam.healthy.enough.9773"
WITH_BN = "SimSiam, ResNet with batch norm"
RANK = "val/z/effective_rank"
LOSS = "train/loss/total"
SMOKE_B = "+experiment=teacherless_b tier=smoke hardware=cpu hardware.threads=1"
DEMO = (
    "+experiment=teacherless_b recipe=predictive dataset.epochs=120 hardware=cpu hardware.threads=1"
)
STOPGRAD = "+experiment=seq_jepa_stopgrad hardware=cpu hardware.threads=1"
OBJECTS = (
    "+experiment=arc_sixth_run dataset.slot_features=objects \"loss.invariance.form='true'\""
    " seed=0 hardware=cpu hardware.threads=1"
)
REAL_DEMOS = (
    "dataset.problem=demos dataset.synthetic.pairs=[3,1] model.roles=true"
    " dataset.train_tasks=320 dataset.val_tasks=64 dataset.test_tasks=64"
)

CASES = (
    Case(
        "diverged",
        "shapes.mlp.vq.fault_rate_x30.enough.9970",
        "VQ autoencoder, learning rate 30 times too high",
        (Panel(LOSS, "loss", log=True), Panel("train/grad_norm", "norm of the gradient", log=True)),
        "shapes.mlp.vq.healthy.enough.3812",
        "the same at its usual learning rate",
    ),
    Case(
        "complete_collapse",
        "digits.cnn.simsiam.healthy.enough.7573",
        "SimSiam, network without batch norm",
        (Panel("val/z/feature_std_l2", "spread of z", 0.05), Panel(LOSS, "loss")),
        SIMSIAM_BN,
        WITH_BN,
    ),
    Case(
        "dimensional_collapse",
        "digits.resnet.simsiam.fault_no_stop_gradient.enough.3536",
        "SimSiam without stop-gradient",
        (Panel(RANK, "effective rank of z"), Panel("val/z/feature_std_l2", "spread of z", 0.05)),
        SIMSIAM_BN,
        "SimSiam as it should be",
    ),
    Case(
        "uniform_output",
        "digits.mlp.dino.wrong_teacher_frozen.enough.3040",
        "DINO whose teacher stays at its first weights",
        (Panel("train/dino/mean_entropy", "entropy of targets, nats"), Panel("val/skill", "skill")),
        "digits.mlp_bn.dino.healthy.long.8020",
        "DINO with a moving teacher and batch norm",
    ),
    Case(
        "codebook_collapse",
        "digits.resnet.vq.fault_dead_codebook.long.8084",
        "codes that start 30 times too far out",
        (
            Panel("val/codebook/perplexity", "perplexity of the codes", log=True),
            Panel("val/codebook/usage", "share of codes in use", 0.05),
        ),
        "digits.resnet.vq.healthy.long.3385",
        "codes that start among the features",
    ),
    Case(
        "regulariser_dominated",
        f"{STOPGRAD}{BRANCH}50% --set loss.lambda_rate=0.3",
        "a rate term of weight 0.3 from step 510 on",
        (Panel("val/skill", "skill"), Panel("val/z_agg/effective_rank", "effective rank of z_agg")),
        STOPGRAD,
        "the same run without it",
    ),
    Case(
        "no_learning",
        "digits.resnet.dino.fault_rate_x30.enough.1380",
        "DINO, learning rate 30 times too high",
        (
            Panel("train/dino/mutual_information", "image and prototype, nats"),
            Panel("val/skill", "skill", 0.02),
        ),
        "digits.resnet.dino.healthy.long.6269",
        "the same at its usual learning rate",
    ),
    Case(
        "copy_shortcut",
        OBJECTS,
        "objects as tokens, copies as demonstrations",
        (Panel("val/copy_gain", "loss of a copy less loss"), Panel("val/skill", "skill")),
        f"{OBJECTS} {REAL_DEMOS}",
        "real demonstrations of the rule",
    ),
    Case(
        "ignores_actions",
        SMOKE_B,
        "experiment B, 136 steps",
        (Panel("val/action_use", "use of actions", 0.05), Panel("val/skill", "skill", lowest=-1)),
        DEMO,
        "make demo: 2,040 steps without dropout",
    ),
    Case(
        "unstable",
        "shapes.mlp.vq.fault_rate_x30.enough.9970",
        "VQ autoencoder, learning rate 30 times too high",
        (Panel("train/loss/commitment", "commitment", log=True), Panel(LOSS, "loss", log=True)),
        "shapes.mlp.vq.healthy.enough.3812",
        "the same at its usual learning rate",
        went_through=True,
    ),
    Case(
        "low_rank",
        "digits.mlp_bn.simsiam.healthy.long.5130",
        "SimSiam, MLP with batch norm",
        (
            Panel("val/projector/effective_rank", "effective rank of the projector"),
            Panel("val/skill", "skill"),
        ),
    ),
    Case(
        "healthy",
        SIMSIAM_BN,
        WITH_BN,
        (Panel(RANK, "effective rank of z"), Panel("val/skill", "skill")),
    ),
    Case(
        "too_short",
        "digits.resnet18.byol.healthy.enough.9325",
        "BYOL, 55 steps",
        (Panel("val/skill", "skill", 0.1, lowest=-1), Panel(RANK, "effective rank of z")),
        "digits.resnet18.byol.healthy.long.8723",
        "the same for 120 steps",
    ),
    Case(
        "inconclusive",
        "digits.resnet18.byol.healthy.enough.7066",
        "BYOL on a small ResNet-18",
        (
            Panel("val/z/view_correlation", "correlation of the views"),
            Panel(RANK, "effective rank of z"),
        ),
    ),
)
