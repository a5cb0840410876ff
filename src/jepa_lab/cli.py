"""The command line: compose with Hydra, hand every job to run.py, turn the user's mistakes into one line and code 2."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import CompactHydraException, HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from jepa_lab.errors import UserError
from jepa_lab.help import conf_dir, options_of

_outcomes: list[BaseException | None] = []  # of the jobs that ran in this process


def _sweep_id() -> str:
    words = sorted(a for a in sys.argv[1:] if not a.startswith(("-", "hydra")))
    return hashlib.blake2b("\n".join(words).encode(), digest_size=5).hexdigest()


OmegaConf.register_new_resolver("sweep_id", _sweep_id, use_cache=True, replace=True)


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
def app(cfg: DictConfig) -> float | None:
    """One job. Exceptions are kept for main(), so that a sweep goes on and Hydra prints nothing of its own."""
    try:
        from jepa_lab.config import check

        config = check(cfg)
        from jepa_lab.run import train

        result = train(config)
        _outcomes.append(None)
        return result.monitored
    except Exception as error:
        _outcomes.append(error)
        if isinstance(error, UserError):
            print(f"jepa_lab: {error}", file=sys.stderr)
        else:
            logging.getLogger("jepa_lab").exception("the run failed")
        return None


def main(argv: list[str] | None = None) -> None:
    """Entry point of `python -m jepa_lab` and `jepa-lab`."""
    args = sys.argv[1:] if argv is None else argv
    if {"-h", "--help"} & set(args):
        from jepa_lab.help import help_text

        print(help_text())
        return
    sys.argv = [sys.argv[0], *_native_spelling(args)]
    _outcomes.clear()
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        app()
    except UserError as error:
        _fail(str(error))
    except (CompactHydraException, HydraException, OmegaConfBaseException) as error:
        _fail(_one_line(error))
    except ValueError as error:
        if _outcomes:
            raise
        _fail(str(error).split("\n", 1)[0])
    except OSError as error:
        if _outcomes:
            raise
        _fail(f"{error.strerror or error}: {error.filename}")
    failures = [o for o in _outcomes if o is not None]
    if failures:
        raise SystemExit(2 if all(isinstance(o, UserError) for o in failures) else 1)
    if not _outcomes and {"-m", "--multirun"} & set(args):
        _fail("the sweep has no job: no experiment matches the pattern")


def _native_spelling(args: list[str]) -> list[str]:
    """Flags to the front (Hydra wants them together) and `experiment=x` as `+experiment=x`."""
    flags = [a for a in args if a in ("-m", "--multirun")]
    rest = [a for a in args if a not in ("-m", "--multirun")]
    return flags + [f"+{a}" if a.startswith("experiment=") else a for a in rest]


def _one_line(error: BaseException) -> str:
    from jepa_lab.config.check import describe, nearest

    missing = getattr(error, "missing_cfg_file", None)
    if missing:
        group, _, option = str(missing).rpartition("/")
        return f"{group}={option}: no such option{nearest(option, list(getattr(error, 'options', None) or []))}"
    cause = error.__cause__
    if isinstance(cause, OmegaConfBaseException):
        return describe(cause)
    if isinstance(error, OmegaConfBaseException):
        return describe(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    override = getattr(error, "override", None)
    if "Could not override" in text and override is None:
        unknown = text.split("'")[1] if "'" in text else text
        return f"{unknown}: no such key or group{nearest(unknown.split('.')[0], options_of(Path(conf_dir())))}"
    return f"{override}: {text}" if override and str(override) not in text else text


def _fail(text: str) -> Any:
    print(f"jepa_lab: {text}", file=sys.stderr)
    raise SystemExit(2) from None
