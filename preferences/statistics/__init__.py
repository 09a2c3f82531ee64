"""Statistics of rankings: annotators and models. Pure NumPy; arrays in, arrays out, no Django.

| module | question |
|---|---|
| `pairs` | which verdicts on pairs of responses a ranking implies |
| `agreement` | how often two annotators agree, per annotator, per pair of annotators, per day |
| `krippendorff`, `rank_correlation` | how far they agree beyond chance |
| `biases` | the influence of position and length, and shown orders that are submitted unchanged |
| `outliers` | whether someone agrees with the others significantly less than expected |
| `crowd_bt`, `dawid_skene` | how reliable each annotator is |
| `bradley_terry`, `davidson` | the preferred model, how certain that is, and models that can't be compared |
| `intervals`, `optimise` | shared functions |
"""
