"""Subcommands of ``python -m benchmark``, one per file; the file's name is the subcommand's.

The dispatcher (:mod:`benchmark.cli`) lists them from their docstrings and imports only the one that is run.
A command module has

- a docstring: its first line is the summary in ``--help``, and all of it heads ``python -m benchmark NAME --help``;
- ``add_arguments(parser: argparse.ArgumentParser) -> None``: declares its options;
- ``run(args: argparse.Namespace) -> int``: does the work and returns the exit status (0 done, 1 failed). It raises
  failures as :class:`benchmark.errors.BenchmarkError` or ``UsageError``; the dispatcher prints the message.

``args`` always holds ``args.plugin`` (list of ``--plugin`` files, to pass to :mod:`benchmark.plugins.registry` and
:mod:`benchmark.settings.config`) and ``args.debug``. Both options may stand before or after the subcommand.

A command whose options are a settings dataclass (``run``, ``prepare``) also has

- ``settings() -> type``: the dataclass (imported inside the function if that is heavy). ``args.settings`` (list of str)
  then holds, unparsed, the options that ``add_arguments`` did not declare, for ``benchmark.settings.config.parse(SettingsType,
  args.settings, plugins=args.plugin, also=args.options)``. ``--help`` lists the settings' fields and those of the plugins
  named on the same line. ``args.options`` are the declared options, for "did you mean". Without ``settings`` an undeclared
  option is a usage error.

Import heavy libraries (torch, librosa, jsonargparse) inside ``run``, not at the top of a command module.
"""
