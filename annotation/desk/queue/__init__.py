"""The annotator's next task, picked and leased in one statement.

Everything here runs under the annotator's desk lock (`Lock.DESK`), so claims from an annotator's tabs run one
after the other, and the counts for the caps stay valid until the lease is written. Annotators don't wait for
each other: a pick skips tasks that somebody else is claiming at that moment.
"""
