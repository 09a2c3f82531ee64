"""A reward model's report on the wire, as `training.rlhf.report.reward_report` writes it; and two of them
compared."""

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
    predicted = serializers.FloatField(help_text="The mean chance given.")
    observed = Estimate(help_text="The share that happened.")


class Reliability(serializers.Serializer[Any]):
    ece = Estimate()
    ece_if_right = serializers.FloatField(help_text="Its mean were every chance exactly right.")
    bins = ReliabilityBin(many=True)


class Calibration(serializers.Serializer[Any]):
    ties_counted = serializers.BooleanField(help_text="Whether a tie is one of the verdicts predicted.")
    pairs = serializers.IntegerField()
    log_loss = Estimate(help_text="Nats per pair; 0.693 is a coin.")
    brier = Estimate()
    preference = Reliability(help_text="Of P(i ≻ j), each pair in both orders.")


class TopOfSet(serializers.Serializer[Any]):
    size = serializers.IntegerField(allow_null=True, help_text="null: all responses of a ranking.")
    rankings = serializers.IntegerField()
    accuracy = Estimate()
    chance = serializers.FloatField(help_text="By drawing lots.")


class PeopleBeside(serializers.Serializer[Any]):
    pairs = serializers.IntegerField()
    prompts = serializers.IntegerField()
    others = Estimate(help_text="How often most of the other people say the same.")
    model = Estimate(help_text="How often the model does.")


class TiePrediction(serializers.Serializer[Any]):
    pairs = serializers.IntegerField()
    tied = Estimate()
    predicted = serializers.FloatField()
    area_under_curve = serializers.FloatField(allow_null=True)
    gain = Estimate(help_text="Nats per pair over one and the same chance for all.")
    reliability = Reliability()


class StrengthLevel(serializers.Serializer[Any]):
    level = serializers.IntegerField()
    stated = Estimate(help_text="Share of the pairs of this level or more.")
    predicted = serializers.FloatField()


class StrengthPrediction(serializers.Serializer[Any]):
    pairs = serializers.IntegerField()
    not_known = serializers.IntegerField(help_text="Pairs of a level that nobody stated in training.")
    levels = StrengthLevel(many=True)
    reliability = Reliability()


class Lean(serializers.Serializer[Any]):
    pairs = serializers.IntegerField()
    correlation = Estimate(help_text="Spearman's ρ over all responses.")
    within_rankings = Estimate(help_text="Spearman's ρ of the differences from the ranking's mean.")
    by_model = Estimate()
    by_people = Estimate()
    excess = Estimate(help_text="by_model less by_people, on the same pairs.")


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
    pairs = serializers.IntegerField(help_text="Preferences; tied pairs aside.")
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
    name = serializers.CharField(help_text="Username, label of an import, or pseudonym of a snapshot.")
    rankings = serializers.IntegerField(help_text="Theirs that were trained on.")
    reliability = Estimate(help_text="How often they mean what they say, given the model's rewards.")


class ModelReport(serializers.Serializer[Any]):
    report = RewardReport(
        allow_null=True, help_text="null: a policy, or nothing was held out that prefers one response."
    )
    annotators = LearnedReliability(
        many=True, help_text="Learned with the rewards (annotators=crowd_bt), least reliable first."
    )
    comparable = ModelRefSerializer(many=True, help_text="Reward models to compare it with, newest first.")


class RewardComparison(serializers.Serializer[Any]):
    rankings = serializers.IntegerField(help_text="Held out of both.")
    prompts = serializers.IntegerField()
    pairs = serializers.IntegerField()
    first = Estimate(help_text="Accuracy of the model asked about.")
    second = Estimate(help_text="Accuracy of the other.")
    difference = Estimate()
    p_value = serializers.FloatField()
    only_first = serializers.FloatField()
    only_second = serializers.FloatField()
    log_loss = Estimate(help_text="How much lower the first one's is.")
    ece = Estimate(help_text="How much lower the first one's is.")
    same_verdict = Estimate()
