"""Allows imported rankings that rate, flag, comment on or rewrite responses without ordering them."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("annotation", "0004_imports")]

    operations = [
        migrations.RemoveConstraint(model_name="ranking", name="ranking_has_tiers_or_says_why_not"),
        migrations.AlterField(
            model_name="ranking",
            name="tiers",
            field=models.JSONField(
                help_text="Lists of response IDs, best first; IDs in one list are tied. "
                "Responses in no list rank below all others. Empty if the responses were not ordered."
            ),
        ),
        migrations.AddConstraint(
            model_name="ranking",
            constraint=models.CheckConstraint(
                condition=Q(not_rankable=True, all_bad=False, tiers=[])
                | Q(not_rankable=False) & (Q(all_bad=True) | ~Q(tiers=[]))
                | Q(not_rankable=False, source="import", kind="annotation")
                & (
                    ~Q(ratings={})
                    | ~Q(flags={})
                    | ~Q(choices={})
                    | Q(confidence__isnull=False)
                    | ~Q(comment="")
                    | (Q(rewrite__isnull=False) & ~Q(rewrite=""))
                    | ~Q(metadata={})
                ),
                name="ranking_has_tiers_or_says_why_not",
            ),
        ),
    ]
