from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation.api.parameters import Query


class Estimate(serializers.Serializer[Any]):
    """An estimate with its 95% confidence interval; null without data."""

    value = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)


class Convergence(serializers.Serializer[Any]):
    """How an iterative estimation ended. If `converged` is false, the search stopped at its limit of steps,
    and the figures are the best that were found."""

    converged = serializers.BooleanField()
    steps = serializers.IntegerField(help_text="Number of steps that the search took.")
    change = serializers.FloatField(
        help_text="Increase in the log-likelihood (with the prior) in the last step, or the increase expected"
        " from a further step, in nats. At one standard error from the maximum, the log-likelihood is 0.5"
        " nats lower than at the maximum."
    )


class RatingAgreement(serializers.Serializer[Any]):
    scale = serializers.CharField()
    alpha_ordinal = Estimate()
    alpha_interval = Estimate()
    n_units = serializers.IntegerField(help_text="Number of responses that two or more annotators rated.")
    n_values = serializers.IntegerField()


class AnnotatorQuality(serializers.Serializer[Any]):
    username = serializers.CharField()
    rankings = serializers.IntegerField()
    median_seconds = serializers.FloatField(allow_null=True)
    agreement = serializers.FloatField(
        allow_null=True,
        help_text="Among other annotators' verdicts on the same pairs, the share that agrees with this"
        " annotator's verdict.",
    )
    n_pairs = serializers.IntegerField()
    reliability = Estimate(
        help_text="Probability that the annotator's verdict on two responses is correct, estimated by"
        " Dawid–Skene. Ties are excluded."
    )
    gold_accuracy = Estimate(help_text="Mean score of the annotator's answers to gold and attention tasks.")
    n_gold = serializers.IntegerField(help_text="Number of answers to gold and attention tasks.")
    first_shown_wins = Estimate(
        help_text="Share of strict pairs won by the response shown first; ½ means no bias."
    )
    longer_wins = Estimate(help_text="Share of strict pairs won by the longer response.")
    as_shown = serializers.FloatField(
        allow_null=True, help_text="Among rankings without ties, the share that matches the order shown."
    )
    as_shown_by_chance = serializers.FloatField(
        allow_null=True, help_text="The value of `as_shown` expected by chance."
    )
    untouched = serializers.FloatField(
        allow_null=True, help_text="Share of rankings submitted without changing the order shown."
    )
    outlier_p = serializers.FloatField(
        allow_null=True,
        help_text="The p-value: the probability of agreement this low or lower if the annotator answered"
        " like the others.",
    )
    outlier_p_adjusted = serializers.FloatField(
        allow_null=True, help_text="`outlier_p`, adjusted for multiple testing by Holm's method."
    )


class DayAgreement(serializers.Serializer[Any]):
    date = serializers.DateField()
    agreement = serializers.FloatField()
    n_pairs = serializers.IntegerField()


class Between(serializers.Serializer[Any]):
    one = serializers.CharField()
    other = serializers.CharField()
    agreement = serializers.FloatField()
    n_pairs = serializers.IntegerField()


class Quality(serializers.Serializer[Any]):
    pairwise_agreement = serializers.FloatField(allow_null=True)
    n_pairs = serializers.IntegerField(
        help_text="Number of pairs of verdicts by two annotators on the same two responses."
    )
    agreement = Estimate()
    agreement_without_ties = serializers.FloatField(allow_null=True)
    n_pairs_without_ties = serializers.IntegerField()
    alpha_nominal = Estimate(help_text="Krippendorff's nominal α for the verdicts worse, tied and better.")
    alpha_ordinal = Estimate(
        help_text="Krippendorff's ordinal α, with a tie halfway between worse and better."
    )
    n_shared_tasks = serializers.IntegerField(help_text="Number of tasks that two or more annotators ranked.")
    tau_b = Estimate(help_text="Mean Kendall's τ-b over pairs of rankings of the same task.")
    kendall_w = Estimate(help_text="Mean Kendall's W over tasks.")
    ratings = RatingAgreement(many=True)
    first_shown_wins = Estimate()
    longer_wins = Estimate()
    annotators = AnnotatorQuality(many=True)
    reliability_convergence = Convergence(
        allow_null=True,
        help_text="How the estimation of the annotators' reliability ended. Null if reliability was not"
        " estimated because fewer than three annotators share pairs.",
    )
    per_day = DayAgreement(many=True)
    between = Between(
        many=True,
        help_text="Pairwise agreement between the annotators who share the most response pairs with others.",
    )


class Standing(serializers.Serializer[Any]):
    model = serializers.CharField()
    wins = serializers.IntegerField()
    losses = serializers.IntegerField()
    ties = serializers.IntegerField()
    strength = serializers.FloatField(help_text="Log odds, centred on 0.")
    low = serializers.FloatField()
    high = serializers.FloatField()
    group = serializers.IntegerField(
        help_text="Models in different groups were never compared, not even through other models, so"
        " their strengths can't be compared."
    )
    level = serializers.IntegerField(
        help_text="Models at the same level are connected by chains of wins or ties in both directions."
        " Models at a better level of a group never lost to models at a worse level, so the data give no"
        " upper bound for the distance between the levels. The order of the level numbers has no meaning."
    )


class Cell(serializers.Serializer[Any]):
    model = serializers.CharField()
    against = serializers.CharField()
    wins = serializers.IntegerField()
    losses = serializers.IntegerField()
    ties = serializers.IntegerField()


class Slice(serializers.Serializer[Any]):
    name = serializers.CharField(allow_blank=True)
    comparisons = serializers.IntegerField()
    standings = Standing(many=True)
    convergence = Convergence()


METHODS = ["bradley_terry", "davidson"]


SLICES = ["round", "split", "metadata"]


class Leaderboard(serializers.Serializer[Any]):
    method = serializers.ChoiceField(choices=METHODS)
    tie_parameter = serializers.FloatField(
        allow_null=True, help_text="Davidson's ν: two equal models tie with probability ν/(2 + ν)."
    )
    comparisons = serializers.IntegerField()
    standings = Standing(many=True)
    convergence = Convergence(help_text="How the estimation of the strengths and their intervals ended.")
    matrix = Cell(many=True, help_text="One cell for each pair of compared models.")
    groups = serializers.IntegerField(
        help_text="Number of groups. Only models in the same group can be compared."
    )
    models_left_out = serializers.IntegerField(
        help_text="Number of models omitted because 100 others were compared more often."
    )
    slices = Slice(many=True)
    slices_left_out = serializers.IntegerField()


class LeaderboardQuery(Query):
    method = serializers.ChoiceField(
        choices=METHODS,
        default="bradley_terry",
        help_text="`bradley_terry`: a tie is half a win for each response. `davidson`: a tie is a third"
        " outcome.",
    )
    by = serializers.ChoiceField(
        choices=SLICES,
        required=False,
        help_text="A separate leaderboard for each round, split or value of `key`.",
    )
    key = serializers.CharField(
        required=False,
        max_length=200,
        help_text="With `by=metadata`: the metadata key whose values define the slices.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("by") == "metadata" and "key" not in attrs:
            raise serializers.ValidationError(
                {"key": "Name the metadata key whose values define the slices."}
            )
        return attrs


class Day(serializers.Serializer[Any]):
    date = serializers.DateField()
    rankings = serializers.IntegerField()


class AnnotatorProgress(serializers.Serializer[Any]):
    username = serializers.CharField()
    rankings = serializers.IntegerField()
    median_seconds = serializers.FloatField(allow_null=True)


class Progress(serializers.Serializer[Any]):
    tasks = serializers.IntegerField()
    open = serializers.IntegerField()
    done = serializers.IntegerField()
    rankings = serializers.IntegerField()
    comparisons = serializers.IntegerField()
    per_day = Day(many=True)
    annotators = AnnotatorProgress(many=True)
