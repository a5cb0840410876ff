"""The settings of a run that the rules depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jepa_lab.diagnosis.remedies import Remedies


@dataclass(frozen=True)
class Settings:
    """The settings of a run that the rules depend on.

    `known` is false without a configuration. All other fields then have their defaults. `trained`
    is true if the learning rate is not 0. `predicts` is true if the prediction loss has a weight.
    `actions` is true if the network gets the actions. `negatives` is the number of InfoNCE
    negatives, or None if the configuration has none. `config` is the whole configuration.
    `remedies` holds the study's knowledge of its settings.
    """

    known: bool = False
    trained: bool = True
    predicts: bool = True
    actions: bool = True
    negatives: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    remedies: Remedies = field(default_factory=Remedies)

    @classmethod
    def of(cls, config: Mapping[str, Any] | None, remedies: Remedies | None = None) -> Settings:
        """Reads the settings from a run's config.yaml. Missing keys get their defaults."""
        if not config:
            return cls(remedies=remedies or Remedies())

        def get(section: str, key: str, default: Any) -> Any:
            part = config.get(section)
            value = part.get(key, default) if isinstance(part, Mapping) else default
            return default if value is None else value

        negatives = get("loss", "negatives", None)
        return cls(
            known=True,
            trained=get("optim", "lr", 1.0) != 0,  # any type, since the file may be edited by hand
            predicts=get("loss", "prediction", 1.0) != 0,
            actions=get("model", "action_conditioning", True) is not False,
            negatives=negatives if isinstance(negatives, int) else None,
            config=config,
            remedies=remedies or Remedies(),
        )

    @property
    def judges_prediction(self) -> bool:
        """Whether a bad prediction is a failure of this run. A reference run does not train one."""
        return self.trained and self.predicts
