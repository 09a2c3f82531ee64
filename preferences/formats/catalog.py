"""All formats by name. `recognition` detects the format of a file."""

from __future__ import annotations

from preferences.formats.export_format import ExportFormat
from preferences.formats.readers import demonstrations, native, prompts, ranked_outputs
from preferences.formats.readers.pairs import best_of_n, hh, trl_pairs
from preferences.formats.readers.studies import (
    arena,
    helpsteer3,
    mt_bench,
    pandalm,
    qa_feedback,
    squality,
    summarize_feedback,
    tulu,
    ultrafeedback,
)
from preferences.formats.readers.table import reader as table
from preferences.formats.readers.tools import argilla as argilla_records
from preferences.formats.readers.tools import label_studio as label_studio_export
from preferences.formats.readers.tools import oasst_models, prodigy
from preferences.formats.readers.tools import oasst_trees as message_trees
from preferences.formats.writers import (
    argilla,
    csv_file,
    dataset,
    hh_rlhf,
    label_studio,
    oasst_trees,
    ranking,
    rewardbench,
    snapshot,
)
from preferences.formats.writers.trl import preference, prompt, sft, unpaired

# Formats are tried in this order: formats that require more fields come first.
IMPORT_FORMATS = {
    known.name: known
    for known in (
        hh.FORMAT,
        label_studio_export.FORMAT,
        argilla_records.FORMAT,
        prodigy.FORMAT,
        message_trees.FORMAT,
        mt_bench.ANSWERS,
        mt_bench.VOTES,
        arena.FORMAT,
        squality.FORMAT,
        pandalm.FORMAT,
        tulu.FORMAT,
        summarize_feedback.FORMAT,
        helpsteer3.FORMAT,
        ultrafeedback.FORMAT,
        qa_feedback.FORMAT,
        ranked_outputs.FORMAT,
        oasst_models.FORMAT,
        best_of_n.FORMAT,
        trl_pairs.FORMAT,
        native.FORMAT,
        demonstrations.FORMAT,
        prompts.FORMAT,
        table.FORMAT,
    )
}
EXPORT_FORMATS: dict[str, ExportFormat] = {
    known.name: known
    for known in (
        preference.JSONL,
        preference.PARQUET,
        unpaired.FORMAT,
        prompt.FORMAT,
        sft.FORMAT,
        ranking.FORMAT,
        snapshot.FORMAT,
        dataset.FORMAT,
        csv_file.FORMAT,
        rewardbench.FORMAT,
        hh_rlhf.FORMAT,
        oasst_trees.FORMAT,
        label_studio.PAIRWISE,
        label_studio.RANKER,
        argilla.FORMAT,
    )
}
