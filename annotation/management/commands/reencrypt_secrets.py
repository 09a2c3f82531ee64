from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings

from annotation.datasets.pseudonyms import replace_pseudonym_key
from annotation.key_rotation.reencrypt import Count, reencrypt
from annotation.management.reporting import ReportingCommand


class Command(ReportingCommand):
    help = (
        "Re-encrypt and re-sign all stored secrets and sessions with the current SECRET_KEY. Before you run"
        " this command, restart all processes with the new key. You can remove SECRET_KEY_FALLBACKS one day"
        " after the command has finished."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--dry-run", action="store_true", help="only report; change nothing")
        parser.add_argument(
            "--new-pseudonyms",
            action="store_true",
            help="replace the pseudonym key if it can't be decrypted",
        )

    def run(self, options: Mapping[str, Any]) -> tuple[Sequence[str], Mapping[str, Any]]:
        dry_run = options["dry_run"]
        if options["new_pseudonyms"] and not dry_run:
            replace_pseudonym_key()
        counts = reencrypt(dry_run=dry_run)
        done = "would be re-encrypted" if dry_run else "re-encrypted"
        lines = [_line(count, done) for count in counts]
        lines += [line for count in counts for line in _unreadable(count)]
        lines.append(_next_step(counts, dry_run=dry_run))
        document = {
            "dry_run": dry_run,
            "kinds": {
                str(count.kind.use): {
                    "reencrypted": count.renewed,
                    "current": count.current,
                    "unreadable": count.unreadable,
                    "busy": count.busy,
                    "owners_of_unreadable": count.owners,
                }
                for count in counts
            },
        }
        return lines, document


def _line(count: Count, done: str) -> str:
    return (
        f"{count.kind.plural}: {count.renewed} {done}, {count.current} already current,"
        f" {count.unreadable} unreadable" + (f", {count.busy} busy" if count.busy else "")
    )


def _unreadable(count: Count) -> list[str]:
    if not count.unreadable:
        return []
    if not count.owners:
        return [f"{count.unreadable} unreadable {count.kind.plural}. {count.kind.advice}"]
    return [
        f"Unreadable {count.kind.use}: {owner}. {count.kind.advice.format(owner=owner)}"
        for owner in count.owners
    ]


def _next_step(counts: Sequence[Count], *, dry_run: bool) -> str:
    if dry_run:
        return "Nothing was changed."
    if any(count.busy for count in counts):
        return "Some rows changed during every attempt. Run the command again before you remove the old key."
    if settings.SECRET_KEY_FALLBACKS:
        return (
            "No stored value needs SECRET_KEY_FALLBACKS any more. Password reset links that were created"
            " before the key change still need the old key until they expire, at most a day after the change."
            " After that, remove SECRET_KEY_FALLBACKS and restart all processes."
        )
    return "All readable values use the current SECRET_KEY."
