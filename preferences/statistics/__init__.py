"""Statistics of rankings: annotators and models. Pure NumPy; arrays in, arrays out, no Django.

| module | question |
|---|---|
| `pairs` | which verdicts on pairs of responses a ranking implies |
| `agreement` | how often two annotators agree, per annotator, per pair of annotators, per day |
| `krippendorff`, `rank_correlation` | how far they agree beyond chance |
| `biases` | whether position or length decides, and whether someone submits the shown order unchanged |
| `outliers` | whether someone agrees with the others less than chance explains |
| `crowd_bt`, `dawid_skene` | how reliable each annotator is |
| `bradley_terry`, `davidson` | which model is preferred, how certain that is, and what can't be compared |
| `intervals`, `optimise` | shared functions |
"""
