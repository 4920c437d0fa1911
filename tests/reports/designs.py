"""Synthetic runs with pretraining seeds, label fractions, splits, ablations, controls and gaps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.reports.records import Records


@dataclass(frozen=True)
class Derived:
    """An arm made from another one; `noise` as in `Records`."""

    name: str
    noise: float
    design: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    base: str = "dxa_vae"
    control: str | None = None
    order: int = 0
    retuned: bool = False


def ablation_arms() -> list[Derived]:
    """Leave one out, a ladder in two orders, a full 2 x 2 x 2 factorial, a dose response; base noise .30."""
    off = {"r_image_weight": 0.0}
    l1 = {"pixel_loss": "l1"}
    big = {"latent": 64}
    return [
        Derived("dxa_vae.no_r", 0.48, "leave_one_out", off),
        Derived("dxa_vae.no_perceptual", 0.31, "leave_one_out", {"perceptual_weight": 0.0}),
        Derived("dxa_vae.no_both", 0.5, "leave_one_out", off | {"perceptual_weight": 0.0}),
        Derived("dxa_vae.l1", 0.34, "ladder", l1, order=1),
        Derived("dxa_vae.l1_big", 0.28, "ladder", l1 | big, order=2),
        Derived("dxa_vae.big", 0.26, "ladder", big, order=1),
        *(
            Derived(
                "dxa_vae.f" + "".join(map(str, bits)),
                0.3 + 0.18 * bits[0] + 0.05 * bits[1] + 0.1 * bits[0] * bits[1],
                "factorial",
                {
                    name: value
                    for bit, (name, value) in zip(
                        bits, (("r_image_weight", 0.0), ("kl_weight", 0.1), ("augment", False)), strict=True
                    )
                    if bit
                },
            )
            for bits in [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
            if any(bits)
        ),
        Derived("dxa_vae.r_0.01", 0.4, "dose", {"r_image_weight": 0.01}),
        Derived("dxa_vae.r_0.3", 0.35, "dose", {"r_image_weight": 0.3}),
    ]


def control_arms() -> list[Derived]:
    """The same arm again, shuffled labels, broken physics."""
    return [
        Derived("dxa_vae.aa", 0.3, control="aa"),
        Derived("dxa_vae.shuffled", 0.1, control="shuffled_labels"),
        Derived("dxa_vae.permuted", 0.49, control="broken_physics"),
    ]


@dataclass
class DesignRecords(Records):
    """A run with everything that a suite can declare; each part may be left out.

    Label fractions multiply the noise by fraction ** -.25; every split is another draw of patients.
    """

    pretraining_seeds: tuple[int, ...] = (7, 8, 9)
    derived: list[Derived] = field(default_factory=lambda: ablation_arms() + control_arms())
    fractions: tuple[float, ...] = (0.1, 0.25, 0.5)
    label_draws: int = 3
    splits: int = 4
    failures: bool = False
    exhibits: bool = False

    def __post_init__(self) -> None:
        self.noise |= {one.name: one.noise for one in self.derived}
        self.guessing = tuple(one.name for one in self.derived if one.control == "shuffled_labels")

    def _pretraining(self) -> None:
        super()._pretraining()
        for arm in [*self.titles, *(one.name for one in self.derived)]:
            for seed in self.pretraining_seeds:
                if seed != 7 or arm not in self.titles:
                    self.trial(stage="pretrain", strategy=arm, pretraining_seed=seed, wall_seconds=240.0)

    def _finals(self, task: str, folder: Path) -> None:
        super()._finals(task, folder)
        if task != "anthropometry":
            return
        both = ["matched", "tuned"]
        for arm in self.titles:
            for pretraining in self.pretraining_seeds:
                for protocols in (["matched"], ["tuned"]) if pretraining != 7 else ():
                    self._final(arm, protocols, pretraining)
                for fraction in self.fractions:
                    for draw in range(self.label_draws):
                        self._final(arm, both, pretraining, label_fraction=fraction, label_draw=draw)
                for split in range(1, self.splits):
                    self._final(arm, both, pretraining, split=split)
        for one in self.derived:
            shift = 50 if one.control == "aa" else 0
            for pretraining in self.pretraining_seeds:
                self._final(one.name, both, pretraining + shift)
        for baseline in ("mean", "pca_ridge"):
            for split in range(1, self.splits):
                key = self.trial(
                    stage="final", baseline=baseline, task=task, protocols=both, seed=None, split=split
                )
                self._results(key, task, baseline, 0, split=split)

    def _final(self, arm: str, protocols: list[str], pretraining: int, **condition: Any) -> None:
        """One trial per final seed."""
        fraction, split = condition.get("label_fraction"), condition.get("split", 0)
        for seed in self.seeds:
            key = self.trial(
                stage="final",
                strategy=arm,
                task="anthropometry",
                protocols=protocols,
                seed=seed,
                pretraining_seed=pretraining,
                validation_score=1 - self.noise[arm] ** 2,
                **condition,
            )
            draw = condition.get("label_draw") or 0
            self._results(
                key,
                "anthropometry",
                arm,
                seed + 1000 * pretraining + 100_000 * draw,
                protocols == ["tuned"],
                split=split,
                harder=fraction**-0.25 if fraction else 1.0,
            )

    def run(self) -> dict[str, Any]:
        """run.json with the derived arms and several pretraining seeds."""
        meta = super().run()
        meta["suite"]["seeds"]["pretraining"] = list(self.pretraining_seeds)
        meta["claims"] = "procedure" if len(self.pretraining_seeds) > 1 else "artifact"
        base = meta["arms"][-1]
        for arm in meta["arms"]:
            arm |= {"strategy": arm["name"], "ablation": None, "control": None, "retuned": False}
        base["factors"] |= {"r_image_weight": 0.05, "perceptual_weight": 1.0, "latent": 32, "augment": True}
        base["factors"] |= {"pixel_loss": "l2"}
        for one in self.derived:
            ablation = None
            if one.design:
                ablation = {
                    "design": one.design,
                    "base": one.base,
                    "changes": one.changes,
                    "order": one.order,
                }
            meta["arms"].append(
                base
                | {
                    "name": one.name,
                    "title": one.name,
                    "parent": one.base,
                    "changes": one.changes,
                    # a strategy that breaks the physics stands for itself
                    "strategy": one.name if one.control == "broken_physics" else one.base,
                    "ablation": ablation,
                    "control": one.control,
                    "retuned": one.retuned,
                }
            )
        return meta
