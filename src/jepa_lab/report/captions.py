"""A caption for every chart of a run's page and for every picture beside it: what it shows and how
it is read."""

from __future__ import annotations

from jepa_lab.report.panels import Panel

CHARTS = {  # by the title of the panel
    "Prediction loss": "What the prediction is trained on.",
    "Total loss": "What the optimiser minimises: the prediction loss and all weighted terms.",
    "Rate term -R(Z)": "Minus the coding rate of the features. Lower is more spread out.",
    "Regulariser terms, training": "Every other term of the training loss, before its weight.",
    "Prediction skill": "1 − loss / loss of a baseline that ignores its input: 0 is no better than"
    " that, 1 is perfect.",
    "Use of the actions": "What the true actions gain over those of other sequences, as a share of"
    " what a readout of the same features gains from them.",
    "Gain over a wrong input": "How much the loss rises when an input is replaced by a wrong one."
    " At 0 the prediction does not use that input.",
    "True output first among 101": "How often the predicted encoding is closer to the true output"
    " than to 100 others.",
    "Class probes": "A linear classifier on frozen features of validation images.",
    "Action probes": "How well a linear readout recovers the transformation: 1 is perfect, 0 is a"
    " constant.",
    "Effective rank (centred)": "The number of directions that the features use, their common mean"
    " removed. A fall while the skill falls is a collapse.",
    "RankMe (uncentred)": "The same with the common mean, so a large mean looks like a low rank.",
    "Participation ratio": "The same, dominated by the largest directions.",
    "Scale: std of L2-normalised features × √d": "How far apart the features lie relative to their"
    " length. Near 0 all inputs are encoded alike, whatever the rank.",
    "Variance over views": "The share of the variance of z_agg that lies between views of one"
    " image. At 0 the aggregate does not depend on the view.",
    "Codebook usage": "The share of codes that are used at all.",
    "Codebook perplexity": "The number of codes in even use that would be as uncertain.",
}
LINES = {  # by the title of the panel and the label of a line that not every run has
    ("Prediction loss", "readout"): "A closed-form readout of the same features shows what they"
    " allow, with and without the actions.",
    ("Prediction loss", "best constant"): "The best constant ignores its input.",
    ("True output first among 101", "without a network"): "Dashed: answers from the grids alone.",
    ("Class probes", "raw pixels"): "Dashed: the same classifier on raw pixels and on the untrained"
    " encoder, and the share of the most frequent class.",
    ("Action probes", "wiring, z_agg"): "The wiring line reads an input of the aggregator and shows"
    " no skill.",
}
PICTURES = {  # by the beginning of the file's name, in the order of the page
    "views": "validation images as the model sees them, with the action that leads to each view",
    "examples": "tasks as the model sees them: the context, and last the target",
    "heatmap": "a metric over tau and the learning rate, with its spread over the seeds",
    "slices": "the loss over the learning rate, a line for each tau",
    "scatter": "where the best row of every setting lies",
    "singular_values": "the singular values of the predictor, beside those of the optimum",
    "sweep_trajectories": "features while one factor of the view changes, on their main directions",
    "sweep_spectra": "how many directions such a change takes in the features",
    "sweep_overlap": "how much the directions of two factors coincide",
    "early_warning": "everything over the same steps, with each violation, also those that passed",
    "overview": "the main curves on one sheet",
    "dynamics": "the curves above, with steps on a log scale",
    "loss": "the curves of the losses",
    "probes": "the curves of the probes and the prediction",
    "ranks": "the curves of rank and scale",
    "spectrum": "the variance along every direction",
}


def caption(panel: Panel) -> str:
    """Returns the words below a chart of a run. Raises KeyError for a panel without a caption."""
    labels = [one.label for one in panel.series] + [level.label for level in panel.levels]
    known = (LINES.get((panel.title, label)) for label in labels)
    return " ".join([CHARTS[panel.title], *filter(None, known)])
