"""What was asked for: a suite as its author wrote it, read from TOML and checked before anything runs."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from harness.resources import Resources, merged
from harness.search.tables import Search
from registry.catalog import suite_files, unknown_name
from registry.contracts import InputError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Names = Annotated[tuple[Name, ...], Field(strict=False)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
SeedList = Annotated[tuple[Seed, ...], Field(min_length=1, strict=False)]


class _Table(BaseModel):
    """A table of a suite file: no unknown key, no silent conversion, no change afterwards."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Seeds(_Table):
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
        return _distinct(seeds)

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


class Budget(_Table):
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


class Suite(_Table):
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

    @field_validator("strategies", "tasks", "reference_arms")
    @classmethod
    def _no_repeats(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _distinct(names)

    @model_validator(mode="after")
    def _references_take_part(self) -> Suite:
        absent = sorted(set(self.reference_arms) - set(self.strategies))
        if absent:
            raise ValueError(
                f"reference_arms names {absent[0]!r}, which is not among strategies; "
                "add it to strategies or take it out of reference_arms"
            )
        return self

    @property
    def references(self) -> tuple[str, ...]:
        """The reference arms in force."""
        return self.reference_arms or self.strategies

    def narrowed(
        self,
        *,
        strategies: tuple[str, ...] | None = None,
        tasks: tuple[str, ...] | None = None,
        cohort: Mapping[str, Any] | None = None,
        resources: Mapping[str, Any] | None = None,
    ) -> Suite:
        """The suite with other strategies, tasks, cohort or resources, without reference arms that left."""
        table = self.model_dump(by_alias=True)
        if strategies is not None:
            table["strategies"] = strategies
            table["reference_arms"] = tuple(arm for arm in self.reference_arms if arm in strategies)
        if tasks is not None:
            table["tasks"] = tasks
        if cohort is not None:
            table["cohort"] = dict(cohort)
        if resources:
            table["resources"] = merged(table["resources"], resources)
        return parse_suite(table, source="the command line")


def load_suite(name_or_file: str) -> Suite:
    """Read a suite by the name of one that ships with the package, or from a TOML file.

    Raises
    ------
    InputError
        If there is no such suite, or a key or value in it is wrong; names file, field, value and mend.
    """
    path = Path(name_or_file)
    if path.suffix != ".toml":
        shipped = suite_files()
        if name_or_file not in shipped:
            raise unknown_name("suite", name_or_file, shipped)
        path = shipped[name_or_file]
    return parse_suite(read_toml(path, kind="suite"), source=f"suite file {path}")


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


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    repeated = [value for value in values if values.count(value) > 1]
    if repeated:
        raise ValueError(f"{repeated[0]!r} is listed twice; list it once")
    return values


def _explain(error: ValidationError, source: str) -> InputError:
    """The first complaint of pydantic as an error a person can act on."""
    complaint = error.errors(include_url=False)[0]
    place = [part for part in complaint["loc"] if isinstance(part, str | int)]
    dotted = ".".join(str(part) for part in place)
    if complaint["type"] == "extra_forbidden":
        known = _keys_of_table(place[:-1])
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
        annotation = model.model_fields[str(part)].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return [information.alias or name for name, information in model.model_fields.items()]
