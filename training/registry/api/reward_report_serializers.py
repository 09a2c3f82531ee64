"""The JSON form of a reward model's report and of a comparison of two reward models.

`training.rlhf.report.reward_report` writes the report.
"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation.oversight.api.report_serializers import Estimate
from training.runs.api.serializers import ModelRefSerializer

SLICED_BY = ["agreement", "strength", "length", "turns", "round", "source", "votes"]


class ReliabilityBin(serializers.Serializer[Any]):
    low = serializers.FloatField()
    high = serializers.FloatField()
    events = serializers.IntegerField()
    predicted = serializers.FloatField(help_text="Mean predicted probability.")
    observed = Estimate(help_text="Observed share.")


class Reliability(serializers.Serializer[Any]):
    ece = Estimate()
    ece_if_right = serializers.FloatField(
        help_text="Expected ECE if every predicted probability were correct."
    )
    bins = ReliabilityBin(many=True)


class Calibration(serializers.Serializer[Any]):
    ties_counted = serializers.BooleanField(help_text="Whether ties are among the predicted outcomes.")
    pairs = serializers.IntegerField()
    log_loss = Estimate(help_text="Nats per pair; random guessing gives 0.693.")
    brier = Estimate()
    preference = Reliability(help_text="Calibration of P(i ≻ j), with each pair counted in both orders.")


class TopOfSet(serializers.Serializer[Any]):
    size = serializers.IntegerField(
        allow_null=True, help_text="Number of responses per set; null if each set is an entire ranking."
    )
    rankings = serializers.IntegerField()
    accuracy = Estimate()
    chance = serializers.FloatField(help_text="Expected accuracy of random rewards.")


class PeopleBeside(serializers.Serializer[Any]):
    pairs = serializers.IntegerField()
    prompts = serializers.IntegerField()
    others = Estimate(help_text="Share of preferences with which the majority of the other rankings agrees.")
    model = Estimate(help_text="Share of the same preferences with which the model agrees.")


class TiePrediction(serializers.Serializer[Any]):
    pairs = serializers.IntegerField()
    tied = Estimate()
    predicted = serializers.FloatField()
    area_under_curve = serializers.FloatField(allow_null=True)
    gain = Estimate(help_text="Gain over predicting the same probability for all pairs, in nats per pair.")
    reliability = Reliability()


class StrengthLevel(serializers.Serializer[Any]):
    level = serializers.IntegerField()
    stated = Estimate(help_text="Share of pairs with this strength level or a higher one.")
    predicted = serializers.FloatField()


class StrengthPrediction(serializers.Serializer[Any]):
    pairs = serializers.IntegerField()
    not_known = serializers.IntegerField(
        help_text="Number of pairs whose strength level does not occur in the training data."
    )
    levels = StrengthLevel(many=True)
    reliability = Reliability()


class Lean(serializers.Serializer[Any]):
    pairs = serializers.IntegerField()
    correlation = Estimate(
        help_text="Spearman's ρ between a response's reward and its length (or how early it was shown)."
    )
    within_rankings = Estimate(
        help_text="Spearman's ρ after each ranking's mean is subtracted from both variables."
    )
    by_model = Estimate()
    by_people = Estimate()
    excess = Estimate(help_text="by_model minus by_people, on the same pairs.")


class RewardSlice(serializers.Serializer[Any]):
    by = serializers.ChoiceField(choices=SLICED_BY)
    of = serializers.CharField()
    pairs = serializers.IntegerField()
    prompts = serializers.IntegerField()
    accuracy = Estimate()
    confidence = serializers.FloatField()


class RewardReport(serializers.Serializer[Any]):
    rankings = serializers.IntegerField()
    prompts = serializers.IntegerField()
    pairs = serializers.IntegerField(
        help_text="Number of pairs with a preference; tied pairs are not included."
    )
    tied_pairs = serializers.IntegerField()
    accuracy = Estimate()
    top = TopOfSet(allow_null=True)
    best_of_4 = TopOfSet(allow_null=True)
    people = PeopleBeside(allow_null=True)
    calibration = Calibration()
    ties = TiePrediction(allow_null=True)
    strengths = StrengthPrediction(allow_null=True)
    length = Lean(allow_null=True)
    position = Lean(allow_null=True)
    slices = RewardSlice(many=True)
    left_out = serializers.DictField(child=serializers.IntegerField())


class LearnedReliability(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="A username, an import's label, or a pseudonym from the snapshot.")
    rankings = serializers.IntegerField(help_text="Number of the annotator's rankings in the training data.")
    reliability = Estimate(
        help_text="Probability, given the model's rewards, that the annotator states their true preference."
    )


class ModelReport(serializers.Serializer[Any]):
    report = RewardReport(
        allow_null=True, help_text="null for a policy, or if the held-out rankings contain no preference."
    )
    annotators = LearnedReliability(
        many=True, help_text="Annotators' reliabilities, learned with annotators=crowd_bt, lowest first."
    )
    comparable = ModelRefSerializer(
        many=True, help_text="Reward models that can be compared with this one, newest first."
    )


class SliceDifference(serializers.Serializer[Any]):
    by = serializers.ChoiceField(choices=SLICED_BY)
    of = serializers.CharField()
    pairs = serializers.IntegerField()
    prompts = serializers.IntegerField()
    difference = Estimate(help_text="This model's accuracy minus the other model's.")
    p_value = serializers.FloatField(help_text="Corrected for the number of slices (Holm).")


class RewardComparison(serializers.Serializer[Any]):
    rankings = serializers.IntegerField(
        help_text="Number of rankings held out from the training of both models."
    )
    prompts = serializers.IntegerField()
    pairs = serializers.IntegerField()
    first = Estimate(help_text="Accuracy of this model.")
    second = Estimate(help_text="Accuracy of the other model.")
    difference = Estimate()
    p_value = serializers.FloatField()
    only_first = serializers.FloatField()
    only_second = serializers.FloatField()
    log_loss = Estimate(help_text="The other model's log loss minus this model's.")
    ece = Estimate(help_text="The other model's ECE minus this model's.")
    same_verdict = Estimate()
    slices = SliceDifference(many=True, help_text="Only slices with enough prompts for a comparison.")
