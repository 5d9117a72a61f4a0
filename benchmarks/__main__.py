"""``python -m benchmarks COMMAND``. A command is a module here with DESCRIPTION, add_arguments(parser), run(args).

``run`` returns the exit status. What the user can mend it raises as a UsageError, an ImportError or an OSError.
"""

import argparse
import importlib
import sys

from benchmarks import experiments

COMMANDS = {
    "demo": "benchmarks.demo",
    "run": "benchmarks.run",
    "report": "benchmarks.report.page",
    "static": "benchmarks.speed.static",
    "executed": "benchmarks.speed.executed",
    "gpu": "benchmarks.speed.gpu",
    "nir": "benchmarks.speed.nir_peers",
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    try:
        from benchmarks.options import UsageError

        modules = {name: importlib.import_module(module) for name, module in COMMANDS.items()}
    except ModuleNotFoundError as error:
        print(f"the benchmarks need the package {error.name}: pip install '.[demo]'", file=sys.stderr)
        return 2
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("list", help="the commands and the experiments")
    for name, module in modules.items():
        command = commands.add_parser(name, help=module.DESCRIPTION, description=module.DESCRIPTION)
        module.add_arguments(command)
    arguments = parser.parse_args(argv)
    if arguments.command == "list":
        for name, module in modules.items():
            print(f"{name:15} {module.DESCRIPTION}")
        print("\nexperiments, for run:")
        for name in experiments.NAMES:
            print(f"{name:15} {experiments.load(name).DESCRIPTION}")
        return 0
    try:
        return modules[arguments.command].run(arguments)
    except KeyboardInterrupt:
        print(f"\n{arguments.command} was stopped; the same command starts it from the beginning", file=sys.stderr)
        return 130
    except (UsageError, ImportError, OSError) as error:
        print(f"{arguments.command}: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
