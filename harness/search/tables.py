"""`[search]` of a suite: by which method hyperparameters are searched, and what may stop a trial early."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.table import SuiteTable

Method = Literal["random", "sobol", "tpe"]


class EarlyStopping(SuiteTable):
    """`[search.early_stopping]`: asynchronous successive halving (Li et al. 2020), a bracket per cell.

    Attributes
    ----------
    first
        Share of a trial's steps after which it may be stopped for the first time.
    reduction
        Of so many trials that got as far, one goes on; the next decision comes after so many times as many
        steps.
    """

    first: Annotated[float, Field(gt=0, lt=1)] = 0.125
    reduction: Annotated[float, Field(gt=1)] = 3.0

    @property
    def rungs(self) -> tuple[float, ...]:
        """Shares of a trial's steps at which it is decided whether it goes on.

        Examples
        --------
        >>> EarlyStopping(first=0.1, reduction=3.0).rungs
        (0.1, 0.30000000000000004, 0.9000000000000001)
        """
        shares = [self.first]
        while shares[-1] * self.reduction < 1:
            shares.append(shares[-1] * self.reduction)
        return tuple(shares)


class Search(SuiteTable):
    """`[search]`: how the settings come about that an arm tries.

    Attributes
    ----------
    method
        `random`: independent draws, the same for every arm. `sobol`: a joint low-discrepancy sequence, the
        same for every arm. `tpe`: the first `shared_draws` are random ones that all arms share, the others
        are proposed for each arm on each task by Optuna.
    shared_draws
        With `tpe`: how many of the draws are shared; the matched setting is chosen among them.
    parallel
        With `tpe`: how many proposals of one arm on one task may be under way at a time.
    pretraining_metric
        The domain's probe that chooses hyperparameters of pretraining; its first one where none is named.
    early_stopping
        See this table; no trial is stopped where there is none.
    """

    method: Method = "random"
    shared_draws: Annotated[int, Field(ge=1)] | None = None
    parallel: Annotated[int, Field(ge=1, le=64)] = 2
    pretraining_metric: str | None = None
    early_stopping: EarlyStopping | None = None

    @model_validator(mode="after")
    def _only_where_it_counts(self) -> Search:
        if self.shared_draws is not None and self.method != "tpe":
            raise ValueError(f"shared_draws is for method 'tpe', not {self.method!r}; take it out")
        return self

    def shared(self, draws: int) -> int:
        """How many of `draws` are the same for every arm."""
        if self.method != "tpe":
            return draws
        return min(draws, self.shared_draws or (draws + 1) // 2)
