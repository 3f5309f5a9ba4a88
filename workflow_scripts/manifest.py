"""Rule manifest: read the user's table, check every row and every clip."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

from speechlasso.files import write_csv, write_parquet
from speechlasso.job import job
from speechlasso.manifest import drop_bad_clips, find_clip_problems, read_manifest

with job(snakemake) as settings:
    table = settings.table.model_copy(update={"path": snakemake.input.table})
    # Clips that the table itself holds become files beside the manifest.
    clips = Path(snakemake.output.spec).parent / "clips"
    manifest = read_manifest(table, settings.without, clips=clips)
    problems = find_clip_problems(manifest, snakemake.threads)
    kept = drop_bad_clips(manifest, problems, settings.on_bad, settings.max_bad_share)
    write_csv(snakemake.output.problems, problems)
    write_parquet(snakemake.output.manifest, kept)
