"""Strategies and tasks for digits that break their contract, each in ways of its own, and two that do not."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import numpy as np

from registry.contracts import (
    Artifact,
    FittedModel,
    Predictions,
    PrimaryEndpoint,
    Strategy,
    Task,
    TestSplitClosedError,
    TrialContext,
    strategy,
    task,
)
from tests.domains.digits import Stroke

STRAY = "HARNESS_TEST_STRAY_FILE"


def encoder(weight: np.ndarray) -> Artifact:
    return Artifact({"encoder": {"mean": np.zeros(64), "weight": weight}})


def random_weight(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((64, 4))


@strategy("rude", provides={"encoder"}, domain="digits")
class Rude(Strategy):
    """Knocks at the test split, writes elsewhere and ignores the seed."""

    def pretrain(self, context: TrialContext) -> Artifact:
        try:
            context.open_split("labelled", "test")
        except TestSplitClosedError:
            Path(os.environ[STRAY]).write_text("here I was")
        return encoder(np.ones((64, 4)))


@strategy("diverging", provides={"encoder"}, domain="digits")
class Diverging(Strategy):
    """Returns weights that are no numbers."""

    def pretrain(self, context: TrialContext) -> Artifact:
        return encoder(np.full((64, 4), np.nan))


@strategy("burglar", provides={"encoder"}, domain="digits")
class Burglar(Strategy):
    """Takes the test split from the folder behind the door."""

    def pretrain(self, context: TrialContext) -> Artifact:
        cells = context.open_split.__closure__ or ()
        folder = next(cell.cell_contents for cell in cells if isinstance(cell.cell_contents, Path))
        with np.load(folder / "labelled-test.npz") as arrays:
            return encoder(arrays["images"].reshape(-1, 64)[:4].T)


@strategy("unsteady", provides={"encoder"}, domain="digits")
class Unsteady(Strategy):
    """Draws from the clock."""

    def pretrain(self, context: TrialContext) -> Artifact:
        return encoder(random_weight(time.time_ns()))


@strategy("hanging", provides={"encoder"}, domain="digits")
class Hanging(Strategy):
    def pretrain(self, context: TrialContext) -> Artifact:
        while True:
            time.sleep(1)


@strategy("vanishing", provides={"encoder"}, domain="digits")
class Vanishing(Strategy):
    """Takes its worker with it."""

    def pretrain(self, context: TrialContext) -> Artifact:
        os._exit(7)


@strategy("short", provides={"encoder", "generator"}, domain="digits")
class Short(Strategy):
    """Declares two parts and returns one."""

    def pretrain(self, context: TrialContext) -> Artifact:
        return encoder(random_weight(context.seed))


@strategy("stepwise", provides={"encoder"}, domain="digits")
class Stepwise(Strategy):
    """Adds up random matrices, one per step, and goes on from its checkpoint."""

    def pretrain(self, context: TrialContext) -> Artifact:
        file = context.scratch / "sum.npz"
        step, total = 0, np.zeros((64, 4))
        if file.exists():
            with np.load(file) as arrays:
                step, total = int(arrays["step"]), arrays["total"]
        while step < 6:
            total = total + self.term(context.seed, step, total)
            step += 1
            np.savez(file, step=step, total=total)
            context.report(step, 6)
        return encoder(total)

    @staticmethod
    def term(seed: int, step: int, total: np.ndarray) -> np.ndarray:
        return np.random.default_rng([seed, step]).standard_normal(total.shape)


@strategy("forgetful", provides={"encoder"}, domain="digits")
class Forgetful(Stepwise):
    """Goes on from its checkpoint with random numbers that the checkpoint does not hold."""

    generator: np.random.Generator | None = None

    def term(self, seed: int, step: int, total: np.ndarray) -> np.ndarray:  # type: ignore[override]
        if self.generator is None:
            self.generator = np.random.default_rng(seed)
        return self.generator.standard_normal(total.shape)


@task(
    "sloppy",
    needs={"encoder"},
    domain="digits",
    part="labelled",
    primary=PrimaryEndpoint("mean_r2", "mean r²", "max", "r2", ("ink", "colour")),
)
class Sloppy(Stroke):
    """Declares a row too many, leaves scans out, and draws nothing by the seed; keeps no model, as it may."""

    keep = Task.keep

    def fit(self, context: TrialContext, artifact: Artifact) -> FittedModel:
        state = (artifact, np.zeros((5, 3)))
        return self._scored(context, state)

    def predict(self, context: TrialContext, model: FittedModel, split: object) -> Predictions:
        whole = super().predict(context, model, split)  # type: ignore[arg-type]
        return Predictions(
            whole.patients[:10],
            whole.scans[:10],
            {name: values[:10] for name, values in whole.targets.items()},
            {name: values[:10] for name, values in whole.predictions.items()},
        )


DECLARED = {"needs": {"encoder"}, "domain": "digits", "part": "labelled", "primary": Stroke.card.primary}


@task("amnesiac", **DECLARED)
class Amnesiac(Stroke):
    """Builds another model than the one that it kept."""

    def restore(self, context: TrialContext, kept: Artifact) -> FittedModel:
        return FittedModel((kept, 1.01 * kept.parts["head"]["weights"]), {})


@task("hoarding", **DECLARED)
class Hoarding(Stroke):
    """Keeps models that nobody can build again."""

    restore = Task.restore


@strategy("littering", provides={"encoder"}, domain="digits")
class Littering(Strategy):
    """Starts a process and forgets it."""

    def pretrain(self, context: TrialContext) -> Artifact:
        subprocess.Popen(["sleep", "60"])
        return encoder(random_weight(context.seed))
