"""What an annotator is given next: picked and leased in one statement.

Everything here runs under the annotator's desk lock (`Lock.DESK`): an annotator's tabs take turns, and what
is counted for caps stays true until the lease is written. Annotators don't wait for each other: a pick skips
tasks that somebody else is claiming at that moment.
"""
