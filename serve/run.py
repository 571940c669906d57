"""`tapeout serve`: what is checked before anything is started, then the supervisor."""

import asyncio
import os
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import monotonic

import msgspec

from ..runtime.load import artifact_path, check_is_model, check_load, is_artifact
from ..runtime.machine import choose_num_threads
from ..runtime.tokenizer import tokenizer_file
from .child import ChildSpec
from .listening import bind, listen
from .logs import set_up_logs
from .options import ServeOptions, read_api_keys
from .supervisor import Supervisor
from .tracing import Tracing


def serve(model: Path, options: ServeOptions) -> int:
    """Serves an artifact, or a checkpoint that is compiled first; gives the exit code.

    Raises InputError, or CapacityError, before anything is started.
    """
    check_model(model)
    read_api_keys(options)
    if options.otlp_traces_endpoint is not None:
        Tracing(options.otlp_traces_endpoint).close()  # says now what is not installed
    with ExitStack() as held:
        sockets = bind(options.host, options.port, options.num_fronts)
        for one in sockets:
            held.enter_context(one)
        options, model = with_name(options, model), artifact_of(model, options)
        set_up_logs(options.log_level)
        url = listen(sockets)
        _say(f"listens at {url} while {model} is loaded")
        on_ready = partial(_say, f"{model} is ready, served at {url}")
        return asyncio.run(Supervisor(str(model), options, sockets, on_ready).run())


def check_model(model: Path) -> None:
    """Raises InputError for what cannot be served."""
    check_is_model(model)
    tokenizer_file(model)


def with_name(options: ServeOptions, model: Path) -> ServeOptions:
    """The options with a name that requests may use: where none is given, the model's folder's."""
    own = [Path(os.path.abspath(model)).name.removesuffix(".tapeout")]
    return msgspec.structs.replace(options, served_model_name=options.served_model_name or own)


def artifact_of(model: Path, options: ServeOptions) -> Path:
    """The model itself, or what its checkpoint is compiled to, if it can be loaded as is asked.

    Raises what the engine would, before there is one.
    """
    choose_num_threads(options.num_threads)
    known = is_artifact(model)
    folder = artifact_path(model, options.load_format) if known else _built(model, options)
    check_load(folder, options.limits(), options.dtype)
    return folder


def _say(text: str) -> None:
    sys.stderr.write(f"tapeout: {text}\n")
    sys.stderr.flush()


def _built(checkpoint: Path, options: ServeOptions) -> Path:
    """Compiles in a process of its own, so that none that serves has the compiler in its memory."""
    spec = ChildSpec(
        options=options,
        model=str(checkpoint),
        supervisor_pid=os.getpid(),
        engine_address="",
        started_s=monotonic(),
    )
    command = [sys.executable, "-m", f"{__package__}.build_process"]
    done = subprocess.run(command, input=msgspec.json.encode(spec), stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(done.returncode)
    return Path(os.fsdecode(done.stdout))
