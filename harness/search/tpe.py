"""Proposals by Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), one study per cell.

A proposal is a function of the cell, the draw's number and the results so far. Where several are under way at
once these depend on the order in which trials end: the driver records every proposal, and an execution that
goes on takes the recorded ones.
"""

from __future__ import annotations

import hashlib
import importlib
from typing import Any

from harness.search.cell import Setting, Tried
from registry.contracts import InputError, Space
from registry.contracts.space import Choice, LogUniform, Uniform
from registry.contracts.tables import Direction


class TpeSampler:
    """A study of one cell, by ask and tell.

    Parameters
    ----------
    space
        What is searched.
    direction
        Of the validation score.
    identity
        Seeds the study, with `seed`: of the cell, so that cells do not propose alike.
    startup
        Random proposals before the model is used; the shared draws count.

    Raises
    ------
    InputError
        If Optuna is not installed, or the space has a kind of distribution that it has no word for.
    """

    def __init__(self, space: Space, *, direction: Direction, seed: int, identity: str, startup: int) -> None:
        optuna = _optuna()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna = optuna
        self._distributions = {name: _distribution(optuna, name, one) for name, one in space.items()}
        self._seed = f"{seed}/{identity}"
        self._startup = startup
        self._study = optuna.create_study(direction="maximize" if direction == "max" else "minimize")
        self._open: dict[int, Any] = {}

    def propose(self, draw: int) -> Setting:
        """Ask the study; the random numbers are the draw's own, whatever was proposed before."""
        digest = hashlib.sha256(f"{self._seed}/{draw}".encode()).digest()
        self._study.sampler = self._optuna.samplers.TPESampler(
            seed=int.from_bytes(digest[:4], "big"),
            n_startup_trials=self._startup,
            multivariate=True,
            constant_liar=True,
        )
        trial = self._study.ask(self._distributions)
        self._open[draw] = trial
        return dict(trial.params)

    def adopt(self, draw: int, setting: Setting) -> None:
        """Have the study ask for exactly this setting."""
        self._study.enqueue_trial(dict(setting))
        self._open[draw] = self._study.ask(self._distributions)

    def learn(self, draw: int, result: Tried) -> None:
        """Tell the study; a pruned trial counts with its last score, a failed one not at all."""
        trial = self._open.pop(draw)
        states = self._optuna.trial.TrialState
        if result.score is not None:
            self._study.tell(trial, result.score)
        elif result.status == "pruned" and result.interim is not None:
            trial.report(result.interim, max(1, round(1000 * result.share)))
            self._study.tell(trial, state=states.PRUNED)
        else:
            self._study.tell(trial, state=states.FAIL)


def require_optuna() -> None:
    """Raise `InputError` unless Optuna is there."""
    _optuna()


def _optuna() -> Any:
    try:
        return importlib.import_module("optuna")
    except ImportError as error:
        raise InputError(
            "search method 'tpe' needs Optuna, which is not installed",
            mend="pip install 'pretraining-harness[search]', or use method 'random'",
        ) from error


def _distribution(optuna: Any, name: str, one: Any) -> Any:
    if isinstance(one, LogUniform):
        return optuna.distributions.FloatDistribution(one.low, one.high, log=True)
    if isinstance(one, Uniform):
        return optuna.distributions.FloatDistribution(one.low, one.high)
    if isinstance(one, Choice):
        return optuna.distributions.CategoricalDistribution(one.options)
    raise InputError(
        f"search method 'tpe' has no word for the distribution of {name!r} ({one.describe()})",
        mend="use loguniform, uniform or choice, or method 'random'",
    )
