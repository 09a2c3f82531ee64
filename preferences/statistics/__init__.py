"""What rankings say about people and models. Pure NumPy; arrays in, arrays out, no Django.

| module | question |
|---|---|
| `pairs` | which verdicts on pairs of responses a ranking implies |
| `agreement` | how often two people say the same, per person, per pair of people, per day |
| `krippendorff`, `rank_correlation` | how far beyond chance they agree |
| `biases` | whether place or length decides, and whether somebody passes the shown order on |
| `outliers` | whether somebody agrees less with the others than chance lets one expect |
| `crowd_bt`, `dawid_skene` | how reliable each person is |
| `bradley_terry`, `davidson` | which model is preferred, how sure that is, and what can't be compared |
| `intervals`, `optimise` | what they share |
"""
