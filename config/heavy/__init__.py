"""Heavy requests run outside the web process, each in a separate process.

A quality report takes seconds to compute. In a thread of the web process, the computation would hold the
interpreter lock and block the threads that serve annotators: 20 simultaneous reports made a claim wait 16 s.
A separate process has a lower priority and is killed when the client disconnects. The number of these
processes is limited.
"""
