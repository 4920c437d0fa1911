"""The response to the levels of a numeric factor."""

from __future__ import annotations

from reports.ablations.designs import trend_weights
from reports.ablations.findings import Dose, DosePoint
from reports.ablations.study import Study
from reports.statistics.intervals import estimate


def doses(study: Study) -> tuple[Dose, ...]:
    """Each level of a factor against the base, and the linear trend over the levels."""
    by_factor: dict[str, dict[float, str]] = {}
    for changes, arm in study.of("dose").items():
        if len(changes) == 1:
            ((factor, value),) = changes
            number = _number(value)
            if number is not None:
                by_factor.setdefault(factor, {})[number] = f"arm:{arm['name']}"
    found = []
    for factor, levels in by_factor.items():
        base = _number(study.before(factor))
        if base is not None:
            levels[base] = study.key
        places = sorted(levels)
        others = [place for place in places if levels[place] != study.key]
        effects = study.family(
            "dose",
            [
                ({levels[place]: 1.0, study.key: -1.0}, (factor,), f"{factor} = {place:g}", "")
                for place in others
            ],
        )
        differences = dict(zip(others, effects, strict=True))
        weights = dict(zip((levels[place] for place in places), trend_weights(len(places)), strict=True))
        label = f"{factor} from {places[0]:g} to {places[-1]:g}, linear over the steps"
        (trend,) = study.family("trend", [(weights, (factor,), label, "")])
        found.append(
            Dose(
                factor,
                tuple(
                    DosePoint(
                        place,
                        levels[place],
                        estimate(study.endpoint.of(levels[place]))[0],
                        differences[place].difference if place in differences else None,
                    )
                    for place in places
                ),
                trend,
            )
        )
    return tuple(found)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
