"""Heavy requests run outside the web process, each in a process of its own.

A quality report computes for seconds. In a thread of the web process, it would take the interpreter from the
threads that serve annotators: 20 reports at once made a claim wait 16 s. A process of its own has a lower
priority, can be limited in number, and is killed when its client disconnects.
"""
