#!/usr/bin/env python3
"""Rankloop's command line. A command uses the running stack's servers, or starts servers that stop when the
command ends."""

import os
import sys

from embedded.processes import ServerError
from embedded.stack import databases_for


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        with databases_for(sys.argv) as own:
            from django.core.management import execute_from_command_line

            from annotation.database.acting import act_as, command_actor

            act_as(command_actor(sys.argv[1] if len(sys.argv) > 1 else "help"))
            # Migrate the database first, because commands need up-to-date tables. The exceptions are
            # `migrate` and similar commands, which must see the database as it is.
            if own and "migrat" not in sys.argv[1]:
                execute_from_command_line([sys.argv[0], "migrate", "--verbosity=0"])
            execute_from_command_line(sys.argv)
    except ServerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
