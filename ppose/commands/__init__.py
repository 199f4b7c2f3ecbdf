"""The commands of `ppose <command>` and of the scripts in `tools/`, `deploy/` and `dataset/`: one each.

The module's docstring is the command's description. `add_options(parser)` adds flags; `main(parser, args)`
checks how they combine (`parser.error`) and does the work. Heavy imports are in `main` only, so that `--help`
is quick and works without them.
"""
