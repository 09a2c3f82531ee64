"""Statistics of rankings, annotators and models. The functions take and return NumPy arrays and do not use
Django.

| module | content |
|---|---|
| `pairs` | the verdicts that a ranking implies for pairs of responses |
| `agreement` | the rate of agreement, for each ranking and for each pair of annotators |
| `krippendorff` | agreement beyond chance |
| `rank_correlation` | agreement among whole rankings |
| `biases` | the influence of position and length, and rankings submitted in the order shown |
| `outliers` | annotators who agree with other annotators significantly less than expected |
| `reliability`, `dawid_skene`, `crowd_bt` | the reliability of each annotator |
| `bradley_terry`, `davidson` | model strengths, their uncertainty, and which models can't be compared |
| `iterative` | iterative estimators; each ends after a limited number of steps and states how it ended |
| `intervals` | confidence intervals and bootstrap samples, for the other modules |
"""
