#!/usr/bin/env python3
"""Rankloop's command line. Finds the running embedded stack, or starts its own databases for the one command."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
