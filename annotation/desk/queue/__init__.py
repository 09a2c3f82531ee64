"""The annotator's next task, picked and leased in one statement.

Everything here runs under the annotator's desk lock (`Lock.DESK`). Claims from an annotator's tabs therefore
run one at a time, and the counts for the caps stay valid until the lease is written. Annotators rarely wait
for each other: a pick first skips the tasks that somebody else is claiming.
"""
