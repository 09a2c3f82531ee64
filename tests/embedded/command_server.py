"""Runs manage.py commands on a running stack, each in a fork of a process that has already loaded Django and
the commands. Loading them takes longer than running most commands.

The program reads lines with JSON objects {"argv": […], "out": PATH, "err": PATH}. It runs each command,
writes the command's output to these files, and responds with a line that contains the exit code.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pkgutil import iter_modules

from embedded.stack import databases_for


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    with databases_for(["manage.py", "shell"]) as own:  # the addresses of the running stack
        assert not own, "the stack is not running"
        _load()
        for line in sys.stdin:
            asked = json.loads(line)
            pid = os.fork()
            if pid == 0:
                _run(asked["argv"], asked["out"], asked["err"])
            _, status = os.waitpid(pid, 0)
            sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
            sys.stdout.flush()


def _load() -> None:
    import django
    from django.apps import apps

    django.setup()
    for app in ("annotation", "training"):
        package = __import__(f"{app}.management.commands", fromlist=["commands"])
        for module in iter_modules(package.__path__, prefix=f"{package.__name__}."):
            __import__(module.name)
    apps.get_models()


def _run(argv: list[str], out: str, err: str) -> None:
    """Runs the command as manage.py would, and then ends the process."""
    code = 1
    try:
        for descriptor, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), descriptor)
        sys.argv = ["manage.py", *argv]
        import manage

        manage.main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            sys.stderr.write(f"{ended.code}\n")
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
