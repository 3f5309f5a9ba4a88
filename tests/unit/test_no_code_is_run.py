"""Nothing that is read is run: no call in the source does that, or asks whether to."""

from __future__ import annotations

import ast

import pytest
from import_graph import MODULES, REPOSITORY, SCRIPTS, name_of

# What a call of these must say.
SAFE_WITH = {
    "from_pretrained": ("trust_remote_code", False),
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
}
RUN = {"pd.read_pickle", "os.system", "os.popen", "yaml.load"}
RUN_BY_ITSELF = {"eval", "exec", "compile"}  # those of models and of expressions are others
RUNNING_MODULES = {"pickle", "joblib", "cloudpickle", "marshal", "subprocess", "runpy"}
UNPACK = {"extractall", "unpack_archive"}
MEANT = {
    "training.processes: pickle.loads",  # what the process itself has just written
    "training.processes: pickle.dumps",
    "experiment.config_sources: yaml.load",  # by a loader of texts alone
    "pipeline.provenance: subprocess.run",  # git alone, in the workflow's own folder, no shell
}


def dangerous_calls(source: str) -> list[str]:
    """Calls that run or unpack what they read, or would without a word that they lack."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        owner = getattr(getattr(node.func, "value", None), "id", "")
        last = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
        name = f"{owner}.{last}" if owner else last
        word, safe = SAFE_WITH.get(name) or SAFE_WITH.get(last) or (None, None)
        said = [ast.unparse(given.value) for given in node.keywords if given.arg == word]
        is_unsafe = word is not None and said != [str(safe)]
        is_plain = isinstance(node.func, ast.Name) and last in RUN_BY_ITSELF
        if is_unsafe or is_plain or name in RUN or last in UNPACK or owner in RUNNING_MODULES:
            found.append(name)
    return found


def test_no_call_runs_what_it_reads():
    sources = {name_of(path): path for path in MODULES}
    sources |= {path.stem: path for path in SCRIPTS.glob("*.py")}
    found = {
        f"{name}: {call}"
        for name, path in sources.items()
        for call in dangerous_calls(path.read_text(encoding="utf-8"))
    }
    assert found == MEANT


@pytest.mark.parametrize(
    "call",
    [
        "AutoModel.from_pretrained(name)",
        "AutoModel.from_pretrained(name, **source)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "tarfile.open(path).extractall(folder)",
        "subprocess.run(command, shell=True)",
        "eval(text)",
    ],
)
def test_such_a_call_would_be_found(call):
    assert len(dangerous_calls(call)) == 1
    assert dangerous_calls("AutoModel.from_pretrained(name, trust_remote_code=False)") == []


def test_no_rule_puts_names_into_a_shell():
    files = [REPOSITORY / "Snakefile", *(REPOSITORY / "rules").glob("*.smk")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    assert "script:" in text
    assert not [word for word in ("shell:", "run:", "shell(", "wrapper:") if word in text]
