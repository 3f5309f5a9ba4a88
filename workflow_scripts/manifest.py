"""Rule manifest: read the user's table, check every row and every clip."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

from speechlasso.data.manifest import drop_bad_clips, find_clip_problems, read_manifest
from speechlasso.data.recorded_clips import RecordedClips, checked_and_recorded
from speechlasso.experiment.job import job
from speechlasso.files import write_csv, write_parquet

with job(snakemake) as settings:
    # A path with braces cannot be declared; the demo corpus' table is in no setting.
    path = str(snakemake.input.table or settings.table.path)
    table = settings.table.model_copy(update={"path": path})
    # Clips that the table itself holds become files beside the manifest.
    clips_folder = Path(snakemake.output.spec).parent / "clips"
    manifest = read_manifest(table, settings.without, clips=clips_folder)
    fingerprints = {}
    check = checked_and_recorded(fingerprints)
    problems = find_clip_problems(manifest, snakemake.threads, check)
    clips = RecordedClips(fingerprints)
    clips.require_digest(snakemake.params.spec["data"].get("clips"))
    kept = drop_bad_clips(manifest, problems, settings.on_bad, settings.max_bad_share)
    write_csv(snakemake.output.problems, problems)
    clips.write(snakemake.output.clips)
    write_parquet(snakemake.output.manifest, kept)
