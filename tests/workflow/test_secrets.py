"""What is nobody's business is written nowhere."""

from __future__ import annotations

from .conftest import TOKEN


def test_a_token_of_the_environment_is_in_no_file_of_a_run(finished):
    """Neither in results nor in logs, nor in what Snakemake keeps for itself."""
    files = [path for path in finished.folder.rglob("*") if path.is_file()]
    assert len(files) > 50
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []
