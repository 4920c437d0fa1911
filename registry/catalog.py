"""The catalogue: every strategy, task, suite and domain that can be named, resolved lazily.

Built-in entries are `module:attribute` strings; plug-ins come as a Python file, a module or an entry point of
the group `harness.plugins`. Names resolve when they are asked for, so listing costs no heavy import.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Literal

from registry.contracts import Domain, InputError, Strategy, Task
from registry.import_limit import IMPORT_SECONDS_VARIABLE, ImportTimeout, import_limit

ENTRY_POINT_GROUP = "harness.plugins"

#: Built-in entries. The engine never imports a domain: it asks here, by name.
BUILT_IN_DOMAINS = {"dxa": "registry.dxa.domain:DxaDomain"}
BUILT_IN_STRATEGIES = {
    "imagenet": "registry.dxa.strategies.imagenet:ImageNet",
    "random_init": "registry.dxa.strategies.random_init:RandomInit",
    "nodxa_vae": "registry.dxa.strategies.vae:NoDxaVae",
    "dxa_vae": "registry.dxa.strategies.vae:DxaVae",
    "dxa_vae_permuted": "registry.dxa.strategies.vae:DxaVaePermuted",
    "dxa_vae_released": "registry.dxa.strategies.vae:DxaVaeReleased",
    "masked_autoencoder": "registry.dxa.strategies.masked_autoencoder:MaskedAutoencoder",
    "vicreg": "registry.dxa.strategies.vicreg:VicReg",
    "vae_pixel": "registry.dxa.strategies.vae:VaePixel",
}
BUILT_IN_TASKS = {
    "reconstruction": "registry.dxa.tasks.reconstruction:Reconstruction",
    "anthropometry": "registry.dxa.tasks.anthropometry:Anthropometry",
    "anthropometry_probe": "registry.dxa.tasks.anthropometry:AnthropometryProbe",
    "pseudo_dxa": "registry.dxa.tasks.pseudo_dxa:PseudoDxa",
}
#: What strategies, tasks, baselines and domains may be called.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
#: What the code of a plug-in may raise at import; leaving the process is not its decision.
_IMPORT_FAILURES = (Exception, SystemExit, ImportTimeout)
SUITE_FOLDER = Path(__file__).parent / "suites"


@dataclass(frozen=True)
class Entry:
    """A named thing and where it comes from.

    Parameters
    ----------
    target
        `module:attribute`, or the class itself for plug-ins.
    origin
        `built-in`, or the file, module or distribution of a plug-in.
    digest
        Of a plug-in file's text: part of the identity of its trials.
    """

    name: str
    target: Any
    origin: str
    digest: str = ""

    def load(self) -> Any:
        """Import and return the class."""
        if not isinstance(self.target, str):
            return self.target
        module, _, attribute = self.target.partition(":")
        return getattr(importlib.import_module(module), attribute)


@dataclass
class Catalogue:
    """All entries, by kind and name.

    Examples
    --------
    >>> "dxa_vae" in Catalogue.built_in().strategies
    True
    """

    domains: Mapping[str, Entry] = field(default_factory=dict)
    strategies: Mapping[str, Entry] = field(default_factory=dict)
    tasks: Mapping[str, Entry] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()

    @classmethod
    def built_in(cls) -> Catalogue:
        """The entries that ship with the package."""

        def entries(table: dict[str, str]) -> dict[str, Entry]:
            return {name: Entry(name, target, "built-in") for name, target in table.items()}

        return cls(entries(BUILT_IN_DOMAINS), entries(BUILT_IN_STRATEGIES), entries(BUILT_IN_TASKS))

    @classmethod
    def load(cls, plugins: Iterable[str] = ()) -> Catalogue:
        """Built-in entries, installed plug-ins, and `plugins` (files or modules) in that order.

        Workers call this with the same arguments, so a plug-in means the same everywhere.
        """
        catalogue = cls.built_in()
        for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
            catalogue._register_module(_load_entry_point(point), origin=f"entry point {point.name}")
        for plugin in plugins:
            module, digest = _import_plugin(plugin)
            catalogue._register_module(module, origin=plugin, digest=digest)
        catalogue.plugins = tuple(plugins)
        return catalogue

    def frozen(self) -> Catalogue:
        """The same entries for good: what a run was planned with is what it runs with."""
        return Catalogue(
            MappingProxyType(dict(self.domains)),
            MappingProxyType(dict(self.strategies)),
            MappingProxyType(dict(self.tasks)),
            self.plugins,
        )

    def strategy(self, name: str) -> Strategy:
        """An instance of the strategy `name`."""
        found: Strategy = _instance(_find(self.strategies, name, "strategy"), Strategy)
        return found

    def task(self, name: str) -> Task:
        """An instance of the task `name`."""
        found: Task = _instance(_find(self.tasks, name, "task"), Task)
        return found

    def domain(self, name: str) -> Domain:
        """An instance of the domain `name`."""
        found: Domain = _instance(_find(self.domains, name, "domain"), Domain)
        return found

    def kind_of(self, name: str) -> Literal["strategy", "task"]:
        """Whether `name` is a strategy or a task.

        Raises
        ------
        InputError
            If it is neither.
        """
        if name in self.strategies:
            return "strategy"
        if name in self.tasks:
            return "task"
        raise unknown_name("strategy or task", name, [*self.strategies, *self.tasks])

    def _register_module(self, module: ModuleType, *, origin: str, digest: str = "") -> None:
        """Register every strategy, task and domain that `module` defines."""
        found = 0
        for value in vars(module).values():
            if not isinstance(value, type) or value.__module__ != module.__name__:
                continue
            if issubclass(value, Strategy) and "card" in vars(value):
                entry = Entry(value.card.name, value, origin, digest)
                self.strategies = _with(self.strategies, entry, "strategy")
            elif issubclass(value, Task) and "card" in vars(value):
                entry = Entry(value.card.name, value, origin, digest)
                self.tasks = _with(self.tasks, entry, "task")
                for baseline in value.card.baselines:
                    check_name(baseline, kind="baseline", origin=origin)
            elif issubclass(value, Domain):
                self.domains = _with(self.domains, Entry(value.name, value, origin, digest), "domain")
            else:
                continue
            found += 1
        if not found:
            raise InputError(
                f"plug-in {origin!r} declares nothing",
                mend="decorate a class with @strategy(...) or @task(...), or derive it from Domain",
            )


def suite_files() -> dict[str, Path]:
    """Name to file of the suites that ship with the package."""
    return {path.stem: path for path in sorted(SUITE_FOLDER.glob("*.toml"))}


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not known, with the nearest one that is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    mend = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"
    return InputError(f"{kind} {name!r} is not known", mend=mend)


def _find(table: Mapping[str, Entry], name: str, kind: str) -> Entry:
    if name not in table:
        raise unknown_name(kind, name, table)
    return table[name]


def _instance(entry: Entry, kind: type[Any]) -> Any:
    implementation = entry.load()
    if not (isinstance(implementation, type) and issubclass(implementation, kind)):
        raise InputError(
            f"{entry.name!r} from {entry.origin} is no {kind.__name__}",
            mend=f"derive it from {kind.__name__}",
        )
    return implementation()


def check_name(name: object, *, kind: str, origin: str) -> None:
    """Refuse a name that is more than a plain word: names are printed, written and typed.

    Raises
    ------
    InputError
        Naming the origin and the mend.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InputError(
            f"{origin} declares the {kind} {name!r}, which is no plain name",
            mend="begin with a letter or digit; use letters, digits, '_', '.' and '-', 100 at the most",
        )


def _with(table: Mapping[str, Entry], entry: Entry, kind: str) -> dict[str, Entry]:
    """The table with one more entry."""
    check_name(entry.name, kind=kind, origin=entry.origin)
    if entry.name in table:
        raise InputError(
            f"{kind} {entry.name!r} is declared twice: by {table[entry.name].origin} and {entry.origin}",
            mend="rename one of them",
        )
    return {**table, entry.name: entry}


def _load_entry_point(point: importlib.metadata.EntryPoint) -> Any:
    try:
        with import_limit():
            return point.load()
    except _IMPORT_FAILURES as error:
        raise InputError(
            f"plug-in {point.value!r} of entry point {point.name!r} cannot be imported: {_said(error)}",
            mend="mend or uninstall the package that installed it",
        ) from error


def _said(error: BaseException) -> str:
    if isinstance(error, ImportTimeout):
        return f"{error} (${IMPORT_SECONDS_VARIABLE})"
    return f"{type(error).__name__}: {error}"


def _import_plugin(plugin: str) -> tuple[ModuleType, str]:
    """Import a plug-in given as a `.py` file or as a module name; returns it with the digest of its text."""
    if not plugin.endswith(".py"):
        try:
            with import_limit():
                module = importlib.import_module(plugin)
        except _IMPORT_FAILURES as error:
            raise InputError(
                f"plug-in module {plugin!r} cannot be imported: {_said(error)}",
                mend="install it, or give the path of its .py file",
            ) from error
        source = Path(module.__file__).read_bytes() if module.__file__ else b""
        return module, hashlib.sha256(source).hexdigest()
    path = Path(plugin)
    if not path.is_file():
        raise InputError(f"plug-in file {plugin!r} does not exist", mend="check the path given with --plugin")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    name = f"harness_plugin_{path.stem}_{digest[:8]}"
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise InputError(f"plug-in file {plugin!r} is no Python file", mend="give a .py file")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        with import_limit():
            specification.loader.exec_module(module)
    except _IMPORT_FAILURES as error:
        sys.modules.pop(name, None)
        raise InputError(
            f"plug-in file {plugin!r} cannot be imported: {_said(error)}",
            mend="mend the file",
        ) from error
    return module, digest
