"""The engine and the command line: cells, trials, resources and results; nothing of any domain.

Data flows one way: `suite` (what was asked for) -> `plan` (which trials) -> `decisions` and `policy` (what
next) -> `executors` (where) -> `trial` (how) -> `results` (what came out); `run` drives them, `journal`
remembers, `progress` shows. `docs/engine.md` names every part; `make check` keeps the arrows.
"""
