"""What `ppose <command>` does, and the scripts of `tools/`, `deploy/` and `dataset/`: a module a command.

Its docstring is the command's description; `add_options(parser)` adds its flags, `main(parser, args)` checks
what they say together (`parser.error`) and does the work. What is heavy is imported in `main` alone, so that
`--help` is quick and works without it.
"""
