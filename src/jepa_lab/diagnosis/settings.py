"""What the rules have to know of the configuration behind a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jepa_lab.diagnosis.remedies import Remedies


@dataclass(frozen=True)
class Settings:
    """`trained`: the weights move; `predicts`: the prediction is what is trained; `actions`: the
    network is given them; `config`: all of it; `remedies`: what the run's study knows of its
    settings."""

    known: bool = False
    trained: bool = True
    predicts: bool = True
    actions: bool = True
    negatives: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    remedies: Remedies = field(default_factory=Remedies)

    @classmethod
    def of(cls, config: Mapping[str, Any] | None, remedies: Remedies | None = None) -> Settings:
        """From a run's config.yaml, whatever of it there is."""
        if not config:
            return cls(remedies=remedies or Remedies())

        def get(section: str, key: str, default: Any) -> Any:
            part = config.get(section)
            value = part.get(key, default) if isinstance(part, Mapping) else default
            return default if value is None else value

        negatives = get("loss", "negatives", None)
        return cls(
            known=True,
            trained=get("optim", "lr", 1.0)
            != 0,  # of a file that was edited by hand it may be anything
            predicts=get("loss", "prediction", 1.0) != 0,
            actions=get("model", "action_conditioning", True) is not False,
            negatives=negatives if isinstance(negatives, int) else None,
            config=config,
            remedies=remedies or Remedies(),
        )

    @property
    def judges_prediction(self) -> bool:
        """Whether a bad prediction is this run's failure; a row to compare with does not train
        one."""
        return self.trained and self.predicts
