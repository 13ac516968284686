"""Subcommands of ``python -m benchmark``, one per file; the file's name is the subcommand's.

The dispatcher (:mod:`benchmark.cli`) lists them from their docstrings and imports only the one that was asked for.
A command module has

- a docstring: its first line is the summary in ``--help``, all of it heads ``python -m benchmark NAME --help``;
- ``add_arguments(parser: argparse.ArgumentParser) -> None``: its own options;
- ``run(args: argparse.Namespace) -> int``: does the work, returns the exit status (0 done, 1 failed). What goes wrong
  is raised as :class:`benchmark.errors.BenchmarkError` or ``UsageError``: the dispatcher prints the sentence.

``args`` always holds ``args.plugin`` (list of ``--plugin`` files, to hand on to :mod:`benchmark.plugins.registry` and
:mod:`benchmark.settings.config`) and ``args.debug``. Both options may stand before or after the subcommand.

A command whose options are a settings dataclass (``run``, ``prepare``) also has

- ``settings() -> type``: the dataclass (imported inside the function if that is heavy). Options that ``add_arguments``
  did not declare then arrive, unparsed, in ``args.settings`` (list of str), for ``benchmark.settings.config.parse(SettingsType,
  args.settings, plugins=args.plugin, also=args.options)``, and ``--help`` lists the settings' fields and those of the
  plugins that are named on the same line. ``args.options`` are the declared options, for "did you mean". Without
  ``settings`` an undeclared option is a usage error.

Nothing heavy (torch, librosa, jsonargparse) is imported at a command module's top level: import it inside ``run``.
"""
