"""Several processes that share each training step, one for each GPU, through accelerate.

Every process holds the whole model and computes its share of each batch; the gradients are summed.
"""

from __future__ import annotations

import pickle
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from speechlasso.errors import InputError
from speechlasso.files import written_whole

Result = TypeVar("Result")


def in_processes(n: int, work: Callable[[], Result]) -> Result:
    """Do some work in n processes at once, and return the first one's result.

    With n = 1 it is done in this very process. Without a GPU the processes share the processor,
    which is of use to tests alone.
    """
    if n == 1:
        return work()
    from accelerate import debug_launcher, notebook_launcher
    from accelerate.utils import is_cuda_available

    # Unlike torch's, accelerate's question leaves CUDA untouched, which no fork survives.
    on_gpus = is_cuda_available()
    if on_gpus and n > torch.cuda.device_count():
        raise InputError(
            f"processes: {n} are more than the {torch.cuda.device_count()} GPUs of this machine"
        )
    with tempfile.TemporaryDirectory() as folder:
        arguments = (work, Path(folder, "result"))
        if on_gpus:
            notebook_launcher(_connected, arguments, num_processes=n, use_port=_free_port())
        else:
            debug_launcher(_connected, arguments, num_processes=n)
        # Written by the first process just now, in a folder that is ours alone.
        result = pickle.loads(arguments[1].read_bytes())
    if isinstance(result, InputError):
        raise result
    return result


def process_number() -> int:
    """0 in the process that writes results, and where there is only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def n_processes() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def of_first_process(value: Result) -> Result:
    """The value that the first process has."""
    values = [value]
    if n_processes() > 1:
        dist.broadcast_object_list(values)
    return values[0]


def sum_over_processes(tensor: torch.Tensor) -> torch.Tensor:
    """The sum of what each process has, in place."""
    if n_processes() > 1:
        dist.all_reduce(tensor)
    return tensor


def save_tensors(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write tensors as safetensors, in the first process alone."""
    on_processor = {name: tensor.cpu() for name, tensor in tensors.items()}
    if process_number() == 0:
        with written_whole(path) as temporary:
            save_file(on_processor, temporary)


def _connected(work: Callable[[], Result], path: Path) -> None:
    from accelerate import PartialState

    state = PartialState()  # connects the processes and gives each its GPU
    state.wait_for_everyone()
    try:
        result = work()
    except InputError as error:
        result = error
    if process_number() == 0:
        path.write_bytes(pickle.dumps(result))
    state.destroy_process_group()


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
