"""What was asked for: a suite as its author wrote it, read from TOML and checked before anything runs."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from harness.resources import Resources, stated
from harness.search.tables import Search
from harness.suite.axes import Ablation, Controls, Endpoint, LabelEfficiency, Margins
from harness.suite.inheritance import Inheritance, resolved
from harness.table import Name, Names, Seed, SeedList, SuiteTable, distinct, tables_within
from registry.catalog import suite_files, unknown_name
from registry.contracts import InputError


class Seeds(SuiteTable):
    """`[seeds]`: which random numbers a suite uses, and where.

    Attributes
    ----------
    draws
        Seed of the hyperparameter draws.
    pretraining
        One artifact per strategy and seed.
    tuning_pretraining
        Seed of the weights that tuning starts from; none of the pretraining ones, so that no setting is
        chosen for weights that are judged. Where it is not given, tuning starts from the first pretraining
        seed: cheaper, and a caveat of the run.
    tuning
        Seed of every tuning trial; none of the final ones, so that nothing is selected on a lucky final.
    final
        Seeds of the trials that are judged on the test split, nested inside the pretraining seeds.
    """

    draws: Seed = 0
    pretraining: SeedList = (0,)
    tuning: Seed = 100
    final: SeedList = (0, 1)
    tuning_pretraining: Seed | None = None

    @field_validator("pretraining", "final")
    @classmethod
    def _no_repeats(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        return distinct(seeds)

    @model_validator(mode="after")
    def _tuning_apart(self) -> Seeds:
        if self.tuning in self.final:
            raise ValueError(f"tuning seed {self.tuning} is also a final seed; give tuning a seed of its own")
        if self.tuning_pretraining in self.pretraining:
            raise ValueError(
                f"tuning_pretraining {self.tuning_pretraining} is also a pretraining seed; "
                "give it a seed of its own, or leave it out to tune on the first pretraining seed"
            )
        return self

    @property
    def tuned_weights(self) -> int:
        """Seed of the weights that tuning starts from."""
        return self.pretraining[0] if self.tuning_pretraining is None else self.tuning_pretraining


class Budget(SuiteTable):
    """`[budget]`: how much every arm may try.

    Attributes
    ----------
    draws
        Hyperparameter settings that every arm tries per task. Where early stopping is on: the resource of
        so many full trials, spent on as many settings as it lasts for.
    pretraining_draws
        Settings of pretraining that every arm tries; the first is the declared one, so that 1 searches
        nothing.
    seconds
        Time that the tuning trials of an arm on a task may take together, from whose passing on no further
        one starts; `draws` bounds their number all the same.
    """

    draws: Annotated[int, Field(ge=1, le=100_000)] = 3
    pretraining_draws: Annotated[int, Field(ge=1, le=10_000)] = 1
    seconds: Annotated[float, Field(gt=0)] | None = None


class Suite(SuiteTable):
    """A declared matrix: strategies x tasks x seeds x cohort x budget.

    Attributes
    ----------
    schema
        Version of the format.
    name
        The run folder is `runs/<name>` unless `--output` says otherwise.
    title, description
        For the report.
    domain
        The kind of data.
    strategies, tasks
        What is compared, on what; every strategy with every task.
    cohort
        On which data; checked by the domain.
    seeds, budget, search, resources
        See these tables.
    reference_arms
        The arms whose mean rank selects the matched setting; all strategies where none are declared.
    settings
        Equal for every arm; checked by the domain.
    splits
        How often the patients are split: 1 keeps the cohort's own split, k repeats everything on k - 1 more.
    label_efficiency
        See this table; every strategy learns from all labels alone where there is none.
    ablation
        Designs that derive arms from strategies; see this table.
    controls
        See this table.
    margins
        Per task, the largest difference that does not matter: `"<statistic>"` or `"<statistic>.<row>"` to a
        value in its unit. They win over the margins that a task declares.
    endpoints
        Per task, what its results are judged by instead of the task's own primary endpoint.
    """

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    name: Name
    title: str = ""
    description: str = ""
    domain: Name
    strategies: Annotated[Names, Field(min_length=1)]
    tasks: Annotated[Names, Field(min_length=1)]
    cohort: dict[str, Any] = Field(default_factory=dict)
    seeds: Seeds = Seeds()
    budget: Budget = Budget()
    search: Search = Search()
    reference_arms: Names = ()
    resources: Resources = Resources()
    settings: dict[str, Any] = Field(default_factory=dict)
    splits: Annotated[int, Field(ge=1, le=100)] = 1
    label_efficiency: LabelEfficiency | None = None
    ablation: Annotated[tuple[Ablation, ...], Field(strict=False)] = ()
    controls: Controls = Controls()
    margins: dict[Name, Margins] = Field(default_factory=dict)
    endpoints: dict[Name, Endpoint] = Field(default_factory=dict)

    @field_validator("strategies", "tasks", "reference_arms")
    @classmethod
    def _no_repeats(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return distinct(names)

    @model_validator(mode="after")
    def _names_take_part(self) -> Suite:
        controls, shares = self.controls, self.label_efficiency
        named: list[tuple[str, Iterable[str], str]] = [
            ("reference_arms", self.reference_arms, "strategies"),
            ("controls.aa", controls.aa, "strategies"),
            ("controls.shuffled_labels", controls.shuffled_labels, "strategies"),
            *((f"ablation.{n}.base", (one.base,), "strategies") for n, one in enumerate(self.ablation)),
            ("label_efficiency.tasks", shares.tasks if shares else (), "tasks"),
            ("margins", self.margins, "tasks"),
            ("endpoints", self.endpoints, "tasks"),
        ]
        for field, names, of in named:
            absent = [name for name in names if name not in getattr(self, of)]
            if absent:
                raise ValueError(
                    f"{field} names {absent[0]!r}, which is not among {of}; "
                    f"add it to {of} or take it out of {field}"
                )
        return self

    @property
    def references(self) -> tuple[str, ...]:
        """The reference arms in force."""
        return self.reference_arms or self.strategies

    def as_table(self) -> dict[str, Any]:
        """The suite as a file would hold it, defaults filled in."""
        return self.model_dump(by_alias=True, mode="json", exclude_none=True)

    def narrowed(
        self,
        *,
        strategies: tuple[str, ...] | None = None,
        tasks: tuple[str, ...] | None = None,
        cohort: Mapping[str, Any] | None = None,
        resources: Mapping[str, Any] | None = None,
    ) -> Suite:
        """The suite with other strategies, tasks, cohort or resources.

        What refers to strategies or tasks that left, leaves with them: reference arms, ablations, controls,
        margins and endpoints.
        """
        table = self.as_table()
        if strategies is not None:
            table["strategies"] = strategies
            table["reference_arms"] = _those_in(strategies, self.reference_arms)
            table["ablation"] = [one for one in table["ablation"] if one["base"] in strategies]
            for control in ("aa", "shuffled_labels"):
                table["controls"][control] = _those_in(strategies, table["controls"][control])
        if tasks is not None:
            table["tasks"] = tasks
            for judgement in ("margins", "endpoints"):
                table[judgement] = {name: of for name, of in table[judgement].items() if name in tasks}
            if self.label_efficiency is not None:
                shares = table["label_efficiency"]
                shares["tasks"] = _those_in(tasks, shares["tasks"])
                if self.label_efficiency.tasks and not shares["tasks"]:
                    del table["label_efficiency"]
        if cohort is not None:
            table["cohort"] = dict(cohort)
        if resources:
            table["resources"] = stated(table["resources"], resources)
        return parse_suite(table, source="the command line")


def load_suite(name_or_file: str) -> Suite:
    """Read a suite by the name of one that ships with the package, or from a TOML file.

    Raises
    ------
    InputError
        If there is no such suite, or a key or value in it is wrong; names file, field, value and mend.
    """
    table, source, folder = _read(name_or_file, Path())
    return parse_suite(resolved(table, source=source, folder=folder, read=_read), source=source)


def _read(name_or_file: str, folder: Path) -> tuple[dict[str, Any], str, Path]:
    """The table of a suite as its file has it, what to call it, and where the file is."""
    path = folder / name_or_file
    if path.suffix != ".toml":
        shipped = suite_files()
        if name_or_file not in shipped:
            raise unknown_name("suite", name_or_file, shipped)
        path = shipped[name_or_file]
    return read_toml(path, kind="suite"), f"suite file {path}", path.parent


def read_toml(path: Path, *, kind: str) -> dict[str, Any]:
    """The table in a TOML file; `kind` says in errors what the file is."""
    if not path.is_file():
        raise InputError(f"{kind} file {str(path)!r} does not exist", mend="check the path")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{kind} file {path} is no valid TOML: {error}", mend="mend that line") from error


def parse_suite(table: Mapping[str, Any], *, source: str) -> Suite:
    """Check a suite's table; `source` names it in errors."""
    try:
        return Suite.model_validate(table)
    except ValidationError as error:
        raise _explain(error, source) from error


def _explain(error: ValidationError, source: str) -> InputError:
    """A complaint of pydantic as an error a person can act on; a wrong key before what is missing for it."""
    complaints = error.errors(include_url=False)
    unknown = (one for one in complaints if one["type"] == "extra_forbidden")
    complaint = next(unknown, complaints[0])
    place = [part for part in complaint["loc"] if isinstance(part, str | int) and part != "[key]"]
    dotted = ".".join(str(part) for part in place)
    if complaint["type"] == "extra_forbidden":
        known = _keys_of_table(place[:-1]) + ([] if place[:-1] else list(Inheritance.model_fields))
        hint = unknown_name("key", str(place[-1]), known)
        return InputError(f"{source}: key {dotted!r} is not known", mend=hint.mend)
    if complaint["type"] == "missing":
        return InputError(f"{source}: {dotted!r} is missing", mend=f"add {dotted} = ...")
    message = complaint["msg"].removeprefix("Value error, ")
    if complaint["type"] == "value_error":
        what, _, mend = message.partition("; ")
        return InputError(
            f"{source}: {dotted + ': ' if dotted else ''}{what}", mend=mend or "mend that value"
        )
    return InputError(
        f"{source}: {dotted} = {complaint['input']!r} cannot be used",
        mend=message[:1].lower() + message[1:],
    )


def _keys_of_table(place: list[str | int]) -> list[str]:
    """The keys that the table at `place` may have."""
    model: type[BaseModel] = Suite
    for part in place:
        information = model.model_fields.get(str(part))
        tables = tables_within(information.annotation) if information else []
        model = tables[0] if tables else model
    return [information.alias or name for name, information in model.model_fields.items()]


def _those_in(chosen: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in set(chosen))
