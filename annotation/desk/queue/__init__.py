"""The annotator's next task, picked and leased in one statement.

Everything here runs under the annotator's desk lock (`Lock.DESK`). Claims from an annotator's tabs therefore
run one after the other. The counts for the caps stay valid until the lease is written. Annotators don't wait
for each other: a pick skips tasks that somebody else is claiming at that moment.
"""
