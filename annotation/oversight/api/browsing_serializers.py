"""Serializers for managers' lists of tasks and rankings."""

from __future__ import annotations

from rest_framework import serializers

from annotation import models
from annotation.api.parameters import Number, Query, WholeNumber, name_field
from annotation.api.serializers import MAX_INTEGER
from annotation.oversight.api.task_serializers import TaskFacts
from annotation.oversight.browsing import CARRIES, EXCERPT_CHARACTERS

MAX_WORDS_CHARACTERS = 200
_EXCERPT = f"The first {EXCERPT_CHARACTERS} characters of the prompt's last turn."
_COMMENT = f"The first {EXCERPT_CHARACTERS} characters of the comment."


class _Sought(Query):
    round = WholeNumber(max_value=MAX_INTEGER, required=False)
    model = name_field("Only tasks with a response by this model.")
    agreement_below = Number(
        min_value=0,
        max_value=1.01,
        required=False,
        help_text="Only tasks whose agreement is below this value.",
    )
    has = serializers.ChoiceField(
        choices=sorted(CARRIES),
        required=False,
        help_text="Only rankings with this optional part, or tasks with such a ranking.",
    )
    says = serializers.CharField(
        max_length=MAX_WORDS_CHARACTERS,
        required=False,
        trim_whitespace=False,
        help_text="Only tasks whose prompt contains this text in any turn. Case is ignored.",
    )
    annotator = name_field("A username, or a name from an imported file.")
    after = serializers.DateTimeField(required=False, help_text="Only entries created at this time or later.")
    before = serializers.DateTimeField(required=False, help_text="Only entries created before this time.")


class TasksSought(_Sought):
    kind = serializers.ChoiceField(choices=models.RankingTask.Kind.choices, required=False)
    state = serializers.ChoiceField(choices=models.RankingTask.State.choices, required=False)
    reserved = serializers.BooleanField(required=False, allow_null=True, default=None)


class RankingsSought(_Sought):
    kind = serializers.ChoiceField(choices=models.Ranking.Kind.choices, required=False)
    source = serializers.ChoiceField(  # type: ignore[assignment]
        choices=models.Ranking.Source.choices, required=False
    )
    task_kind = serializers.ChoiceField(choices=models.RankingTask.Kind.choices, required=False)


class TaskListed(TaskFacts):
    rankings = serializers.IntegerField(source="n_rankings", help_text="Annotations that count.")
    agreement = serializers.FloatField(
        source="agreed",
        allow_null=True,
        help_text="Share of annotator pairs that agree; null with fewer than two annotators.",
    )
    excerpt = serializers.CharField(allow_blank=True, help_text=_EXCERPT)


class _Given(serializers.Serializer[models.Ranking]):
    id = serializers.UUIDField()
    by = serializers.CharField(
        source="who", allow_blank=True, help_text="A username, or a name from an imported file."
    )
    kind = serializers.ChoiceField(choices=models.Ranking.Kind.choices)
    source = serializers.ChoiceField(choices=models.Ranking.Source.choices)  # type: ignore[assignment]
    counts = serializers.BooleanField(help_text="False if the annotator is excluded.")
    not_rankable = serializers.BooleanField()
    all_bad = serializers.BooleanField()
    duration_ms = serializers.IntegerField(allow_null=True)
    given_at = serializers.DateTimeField(
        allow_null=True, help_text="The time of the ranking, according to the imported file."
    )
    created_at = serializers.DateTimeField()


class RankingListed(_Given):
    task = serializers.UUIDField(source="task_id")
    n_tiers = serializers.SerializerMethodField(
        help_text="The number of tiers. If responses are tied, there are fewer tiers than responses."
    )
    n_responses = serializers.SerializerMethodField()
    comment = serializers.SerializerMethodField(help_text=_COMMENT)
    flags = serializers.SerializerMethodField(help_text="Names of the flags set on any response.")
    rewritten = serializers.SerializerMethodField()
    agreement = serializers.FloatField(
        source="agreed", allow_null=True, help_text="The agreement on the ranking's task."
    )
    excerpt = serializers.CharField(allow_blank=True, help_text=_EXCERPT)

    def get_n_tiers(self, row: models.Ranking) -> int:
        return len(row.tiers)

    def get_n_responses(self, row: models.Ranking) -> int:
        return len(row.shown_order)

    def get_comment(self, row: models.Ranking) -> str:
        return row.comment[:EXCERPT_CHARACTERS]

    def get_flags(self, row: models.Ranking) -> list[str]:
        # Imported flags can have any shape.
        lists = [flags for flags in row.flags.values() if isinstance(flags, list)]
        return sorted({flag for flags in lists for flag in flags if isinstance(flag, str)})

    def get_rewritten(self, row: models.Ranking) -> bool:
        return row.rewrite is not None


class RankingGiven(_Given):
    """A complete ranking."""

    tiers = serializers.ListField(child=serializers.ListField(child=serializers.UUIDField()))
    strength = serializers.IntegerField(allow_null=True)
    ratings = serializers.DictField(help_text="{response: {scale: value}}")
    flags = serializers.DictField(help_text="{response: [flag]}")
    choices = serializers.DictField(help_text="{question: choice}")
    confidence = serializers.IntegerField(allow_null=True)
    comment = serializers.CharField(allow_blank=True)
    rewrite = serializers.CharField(allow_blank=True, allow_null=True)
    shown_order = serializers.ListField(
        child=serializers.UUIDField(), help_text="The responses in the order shown."
    )
    touched = serializers.BooleanField(help_text="False if the annotator did not change the order shown.")
    superseded = serializers.BooleanField(help_text="True if a revision has replaced this ranking.")
