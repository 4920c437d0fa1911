"""The engine and the command line: cells, trials, resources and results; nothing of any domain.

Data flows one way: `specs` (what was asked for) -> `plan` (which trials) -> `policy` (what next) ->
`executors` (where) -> `trial` (how) -> `results` (what came out); `run` drives them, `journal` remembers.
"""
