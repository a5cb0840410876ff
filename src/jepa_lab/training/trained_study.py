"""A study whose runs are one module trained by Lightning, and the parts that all such studies
share."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from jepa_lab.callbacks import Gates
from jepa_lab.callbacks.checkpoints import Saver, Usable, usable_checkpoint
from jepa_lab.callbacks.kept_checkpoints import keep_checkpoints
from jepa_lab.callbacks.state_ring import RING, State, remove_ring
from jepa_lab.config.run_config import JepaConfig
from jepa_lab.config.statuses import FAILURES
from jepa_lab.diagnosis import Examination, Verdict, examine
from jepa_lab.diagnosis.gates import evaluate_gates, gates_dict, gates_line
from jepa_lab.errors import NonFinite, StoppedByVerdict, say
from jepa_lab.ledger.parquet import History, ParquetLedger, history_of
from jepa_lab.ledger.summary import finite_values, require_summarised, summary_values, write_summary
from jepa_lab.networks.ema import memory_of_tau
from jepa_lab.report.diagnosis import Composes
from jepa_lab.report.table import show_rows, table_rows
from jepa_lab.training.branching import usable_states
from jepa_lab.training.budget import target_tau
from jepa_lab.training.drawing import draw_run, draws, show
from jepa_lab.training.fitting import require_fit
from jepa_lab.training.joint_module import make_joint
from jepa_lab.training.logger_package import require_logger
from jepa_lab.training.loggers import Loggers, open_loggers
from jepa_lab.training.provenance import count_parameters, measured_cost, resolved_yaml
from jepa_lab.training.rebuild import rebuilt
from jepa_lab.training.resume import RunPlan
from jepa_lab.training.study import Fit, Parts, Session, Study, unchecked
from jepa_lab.training.trainer import build_trainer


class TrainedStudy(Study):
    """A study trained by Lightning. A subclass provides loaders, module and callbacks. This class
    provides trainer, evaluation passes, summary, table and page."""

    # the groups whose options choose an entry of `expected`, from the outside in
    expected_by: ClassVar[tuple[str, ...]] = ()

    def prepare(self, config: JepaConfig, data: Any) -> Parts:
        require_logger(config)
        return self.build(config, data)

    @abstractmethod
    def build(self, config: Any, data: Any) -> Parts:
        """Builds loaders and module on seeded random streams. Raises UserError for sizes that do
        not fit."""

    @abstractmethod
    def build_callbacks(self, session: Session) -> list[Any]:
        """Returns the callbacks in the order in which they act, with a Saver and a Gates among
        them."""

    @abstractmethod
    def best_key(self, config: Any, data: Any) -> str:
        """Returns the validation metric that chooses best.ckpt."""

    @abstractmethod
    def protocol(self, config: Any, data: Any) -> dict[str, Any]:
        """Returns the conditions of the run's results (sizes of the splits, seed and the like), for
        summary.json."""

    def remark(self, config: Any, data: Any, parts: Parts) -> str | None:
        """Returns a line to print before training, or None."""
        return None

    @abstractmethod
    def pictures(self, session: Session, fit: Fit) -> dict[str, Any]:
        """Returns the contents of the study's own figures as tensors and plain data."""

    @abstractmethod
    def draw_pictures(self, pictures: Mapping[str, Any], figures: Path) -> dict[str, Any]:
        """Draws the study's own figures from the result of `pictures` into a folder. Returns the
        options of draw_outcome that depend on them."""

    def checkpoint(self, session: Session) -> Usable:
        run, module = session.run, session.parts.module
        found = usable_checkpoint(run.checkpoints, run.run_id, partial(require_fit, module))
        if found.warning:
            say(f"{run.path}: {found.warning}")
        return found

    def open_ledger(self, session: Session) -> ParquetLedger:
        path, found = session.run.metrics_path, session.checkpoint
        if found is None:
            return ParquetLedger(path)
        ledger = ParquetLedger.load(path)
        ledger.require(found.ledger, found.step)
        return ledger

    def open_loggers(self, session: Session) -> AbstractContextManager[Loggers]:
        assert session.ledger is not None
        return open_loggers(session.config, session.run, session.ledger)

    def config_yaml(self, session: Session) -> str:
        return resolved_yaml(
            session.config, self.best_key(session.config, session.data), session.parts.budget
        )

    def fit(self, session: Session) -> Fit:
        parts, checkpoint, ledger = session.parts, session.checkpoint, session.ledger
        callbacks = self.build_callbacks(session)
        if checkpoint is not None and not checkpoint.whole:
            return rebuilt(session, checkpoint, callbacks)
        remark = self.remark(session.config, session.data, parts)
        if remark and checkpoint is None:
            say(remark, prefix="")
        failure = self._train(session, callbacks)
        if not session.place.first:
            return Fit({}, 0.0, parts.module, failure)
        assert ledger is not None
        wall = next(c.wall_s for c in callbacks if isinstance(c, Saver))
        gates = next(c.results for c in callbacks if isinstance(c, Gates))
        return Fit(ledger.history(), wall, parts.module, failure, callbacks, gates)

    def _train(self, session: Session, callbacks: list[Any]) -> NonFinite | StoppedByVerdict | None:
        """Trains the module and evaluates it before and after. Returns the exception that ended
        training."""
        parts, checkpoint, place = session.parts, session.checkpoint, session.place
        unread = make_joint(parts, place, session.config.hardware)
        trainer = build_trainer(
            session.config, parts.budget, session.run, session.loggers.all, callbacks, place, unread
        )
        failure: NonFinite | StoppedByVerdict | None = None
        if checkpoint is None:
            _evaluate(trainer, parts, "val", "reference")
        parts.module.eval_prefix = "val"
        try:
            trainer.fit(
                parts.module,
                parts.loaders["train"],
                parts.loaders["val"],
                ckpt_path=checkpoint.path if checkpoint else None,
                weights_only=True if checkpoint else None,
            )
        except (NonFinite, StoppedByVerdict) as error:
            failure = error
        else:
            self._test(session, trainer)
        return failure

    def _test(self, session: Session, trainer: Any) -> None:
        """Evaluates the trained module on the test split. A diverged module keeps its verdict if it
        cannot be evaluated, and the error is logged."""
        try:
            _evaluate(trainer, session.parts, "test", "test")
        except (ArithmeticError, RuntimeError, ValueError) as error:
            ledger = session.ledger
            diverged = ledger and self.judge_of(session.config)(ledger.history()).status
            if diverged != "diverged":
                raise
            logging.getLogger("jepa_lab").error("no test pass: the run diverged", exc_info=error)

    def judge(self, session: Session, fit: Fit) -> Verdict:
        return self.judge_of(session.config)(fit.history)

    def judge_of(self, config: JepaConfig) -> Callable[[History], Verdict]:
        """Returns a function that maps the metrics of a run with this configuration to its
        verdict."""
        examine_run = self.examine_of(config)
        return lambda history: examine_run(history).verdict

    def examine_of(self, config: JepaConfig) -> Callable[[History], Examination]:
        """Returns the same for the verdict with everything that it was chosen from."""
        content, rules = asdict(config), config.diagnosis.rules
        return lambda history: examine(
            history, config=content, remedies=self.remedies, own_rules=rules
        )

    def summarise(self, session: Session, fit: Fit, verdict: Verdict) -> dict[str, Any]:
        assert session.ledger is not None
        session.ledger.fold()
        cost, config = measured_cost(fit.callbacks), session.config
        tau = (
            target_tau(config, session.parts.budget.steps) if config.target.name == "ema" else None
        )
        write_summary(
            session.run,
            fit.history,
            verdict.to_dict(),
            monitor={
                "key": self.best_key(config, session.data),
                "seconds": cost,
                "share": cost / max(fit.wall_s, 1e-9),
            },
            parameters=count_parameters(fit.module),
            wall_s=fit.wall_s,
            extra={
                "protocol": self.protocol(config, session.data),
                "tau": tau,
                "teacher_memory_steps": None if tau is None else memory_of_tau(tau),
                "gates": gates_dict(fit.gates),
            }
            | ({"preflight": session.preflight} if session.preflight else {}),
        )
        summary = session.run.summary()
        assert summary is not None
        return summary

    def show_outcome(
        self, session: Session, fit: Fit, verdict: Verdict, summary: dict[str, Any]
    ) -> None:
        show(self, session, fit, verdict.line())

    def keep(self, session: Session, verdict: Verdict) -> None:
        """Reduces the checkpoints to what `keep` names. The states for branches stay if a single
        run failed by its verdict, since the reason may be asked for."""
        folder, keep = session.run.checkpoints, session.config.keep
        try:
            if keep != "all" and (session.brief or verdict.status not in FAILURES):
                remove_ring(folder / RING)
            keep_checkpoints(folder, keep)
        except (OSError, ValueError) as error:  # the results are complete, and so are the files
            say(f"{folder}: not reduced to keep={session.config.keep} ({error})")

    def lost_metrics(self, session: Session, fit: Fit, summary: dict[str, Any]) -> str | None:
        saver = next(c for c in fit.callbacks if isinstance(c, Saver))
        written, measured = len(fit.history.get(saver.monitor, ())), saver.measured
        if measured is not None and written < measured:
            return (
                f"{session.run.metrics_path}: {saver.monitor} of {written} of {measured}"
                " validations was written; on_existing=restart trains the run again"
            )
        return super().lost_metrics(session, fit, summary)

    def states(self, folder: Path) -> list[State]:
        return usable_states(folder / "checkpoints")

    def examination(self, folder: Path, config: JepaConfig) -> Examination:
        return self.examine_of(config)(history_of(folder))

    def of_trials(self, status: str) -> list[str]:
        return [f"diagnosis.stop_on=[{status}]", "preflight=off", "keep=weights"]

    def draw(self, folder: Path, composes: Composes = unchecked) -> Path:
        return draw_run(self, folder, composes)

    def require_metrics(self, plan: RunPlan) -> None:
        path, summary = plan.home.metrics_path, plan.home.summary()
        assert summary is not None
        require_summarised(path, lambda: history_of(path), summary)

    def show_finished(self, plan: RunPlan, brief: bool) -> dict[str, Any]:
        summary = plan.home.summary()
        assert summary is not None
        verdict = summary["verdict"]
        gates = evaluate_gates(plan.config.gates.limits(), finite_values(summary))
        page = plan.home.path / "report.html"
        if draws(plan.config, brief) and not page.exists():
            print(f"page:    {self.draw(plan.home.path)}")
        if not brief:
            show_rows(table_rows(summary_values(summary)))
        print(
            f"\nfinished before, nothing to do: {plan.home.path}\n"
            f"verdict: {verdict.get('line', verdict.get('status'))}\ngates:   {gates_line(gates)}",
            flush=True,
        )
        return summary


def _evaluate(trainer: Any, parts: Parts, split: str, prefix: str) -> None:
    parts.module.eval_prefix = prefix
    trainer.validate(parts.module, parts.loaders[split], verbose=False)
