"""Everything that `tapeout serve` can be told: its options, its config file and its docs page."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import msgspec.inspect
from msgspec import Meta

from ..errors import InputError, shown
from ..runtime.limits import DEFAULT_MEMORY_UTILIZATION, Limits, default_of

_Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
_Seconds = Annotated[float, Meta(gt=0, le=1e9)]


class ServeOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options by name; `TEXTS` says what each does."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    num_fronts: _Count = 1
    served_model_name: list[str] = []
    api_key: list[str] = []
    api_key_file: str | None = None
    allowed_origin: list[str] = []

    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    kv_cache_bytes: int | None = None
    gpu_memory_utilization: float = DEFAULT_MEMORY_UTILIZATION
    enable_prefix_caching: bool = True
    seed: int = 0
    num_threads: int | None = None
    enforce_eager: bool = False
    dtype: str = "auto"
    load_format: str = "auto"

    max_num_waiting: _Count = 1024
    max_prompt_tokens: _Count | None = None
    max_requests_per_key: _Count | None = None
    max_output_tokens: _Count | None = None
    max_body_bytes: _Count = 16 << 20
    max_header_bytes: _Count = 64 << 10
    request_timeout_s: _Seconds | None = None
    read_timeout_s: _Seconds = 30.0
    write_timeout_s: _Seconds = 60.0

    drain_timeout_s: _Seconds = 60.0
    step_timeout_s: _Seconds = 120.0
    startup_timeout_s: _Seconds = 1800.0
    max_engine_failures: _Count = 5
    tool_format: Literal["auto", "harmony", "hermes", "llama3", "mistral"] = "auto"
    otlp_traces_endpoint: str | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def limits(self) -> Limits:
        """What is asked of a load."""
        return Limits.among(msgspec.structs.asdict(self))


TEXTS = {
    "host": "Address to listen on; 0.0.0.0 for all.",
    "port": "0 takes a free one.",
    "num_fronts": "Processes for HTTP and tokenizing.",
    "served_model_name": "A name that requests may use; the first answers. Default: the folder's.",
    "api_key": "A key that is let in; with none, everybody is.",
    "api_key_file": "A file of more keys, one a line.",
    "allowed_origin": "A web page that browsers let call, as in CORS; * for all.",
    "max_model_len": "Tokens of a sequence; by default as many as model and memory allow.",
    "max_num_seqs": f"Sequences that run at a time; by default {default_of('max_num_seqs')}.",
    "max_num_batched_tokens": (
        f"Tokens of a step; by default {default_of('max_num_batched_tokens')}."
    ),
    "kv_cache_bytes": "For keys and values; by default what the sequences can use.",
    "gpu_memory_utilization": "Share of the memory to take.",
    "enable_prefix_caching": "Whether prompts that begin alike share pages.",
    "seed": "Of the requests that bring none.",
    "num_threads": "Of the kernels; one for each core by default.",
    "enforce_eager": "Whether to capture no graph on a GPU.",
    "dtype": "Of a checkpoint: auto, bfloat16 or float32.",
    "load_format": "Of a checkpoint: auto, or dummy for random weights.",
    "max_num_waiting": "Sequences that may wait; more are refused by 503.",
    "max_prompt_tokens": "Prompt tokens of all requests that wait or run; more are refused by 503.",
    "max_requests_per_key": "Requests of one API key at a time; more are refused by 429.",
    "max_output_tokens": "The most that a request may ask for.",
    "max_body_bytes": "Of a request; more is refused by 413.",
    "max_header_bytes": "Of a request; more is refused by 431.",
    "request_timeout_s": "After which a request is ended by 408.",
    "read_timeout_s": "For the headers of a request to come, and again for its body; then 408.",
    "write_timeout_s": "For a client to take a piece of its stream; then it is given up.",
    "drain_timeout_s": "For what runs, after SIGTERM, to end.",
    "step_timeout_s": "After which a step counts as hung and the engine is replaced.",
    "startup_timeout_s": "For the engine to load.",
    "max_engine_failures": "Engines in a row that may end having served nothing.",
    "tool_format": "How the model writes tool calls; auto looks at its chat template.",
    "otlp_traces_endpoint": "Where OpenTelemetry's spans of requests go: http://HOST:4318/v1/traces.",
    "log_level": "debug, info, warning or error.",
}


class Option(msgspec.Struct, frozen=True):
    """One option, for the command line and the docs."""

    name: str
    kind: type  # of one value
    is_list: bool
    is_limit: bool  # of a load: another value than `kind` is refused by `Limits`
    default: Any
    text: str


def list_options() -> list[Option]:
    """All of them, in their order."""
    described = msgspec.inspect.type_info(ServeOptions)
    assert isinstance(described, msgspec.inspect.StructType)
    return [_option(field) for field in described.fields]


def render_table() -> str:
    """The options as a Markdown table."""
    rows = [
        f"| `--{option.name.replace('_', '-')}` | {_shown_default(option)} | {option.text} |"
        for option in list_options()
    ]
    return "\n".join(["| option | default | |", "|---|---|---|", *rows, ""])


def _option(field: msgspec.inspect.Field) -> Option:
    kind = field.type
    if isinstance(kind, msgspec.inspect.UnionType):
        kind = next(t for t in kind.types if not isinstance(t, msgspec.inspect.NoneType))
    is_list = isinstance(kind, msgspec.inspect.ListType)
    default = [] if is_list else field.default
    is_limit = field.name in Limits.__struct_fields__
    kind_of_one, text = _KINDS.get(type(kind), str), TEXTS[field.name]
    return Option(field.name, kind_of_one, is_list, is_limit, default, text)


def _shown_default(option: Option) -> str:
    if option.default is None or option.default == []:
        return "none"
    return str(option.default).lower() if option.kind is bool else f"{option.default}"


_KINDS = {
    msgspec.inspect.IntType: int,
    msgspec.inspect.FloatType: float,
    msgspec.inspect.BoolType: bool,
}


def read_config(path: Path) -> dict[str, Any]:
    """The options in a TOML file, `-` or `_` in their names. Raises InputError."""
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"config {path} cannot be read: {error}") from None
    return {name.replace("-", "_"): value for name, value in found.items()}


def make_options(given: dict[str, Any]) -> ServeOptions:
    """Checked options. Raises InputError that names the option."""
    known = {field.name for field in msgspec.structs.fields(ServeOptions)}
    unknown = sorted(given.keys() - known)
    if unknown:
        raise InputError(f"{shown(unknown[0])} is no option of serve; see tapeout serve --help")
    Limits.among(given)  # refuses them in the words that `LLM` has for them
    try:
        return msgspec.convert(given, ServeOptions)
    except msgspec.ValidationError as error:
        reason, _, name = str(error).partition(" - at `$.")
        name = re.split(r"[`\[]", name)[0]
        value = "" if name == "api_key" else f"={shown(given[name])}"  # a key is told to nobody
        raise InputError(
            f"{name}{value} is not allowed: {reason}; see tapeout serve --help"
        ) from None


def read_api_keys(options: ServeOptions) -> list[str]:
    """All keys. Raises InputError for an empty one, or a file that cannot be read."""
    keys = list(options.api_key)
    if options.api_key_file is not None:
        try:
            lines = Path(options.api_key_file).read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"api_key_file cannot be read: {error}") from None
        keys += [line.strip() for line in lines if line.strip()]
        if not keys:
            raise InputError(f"api_key_file={options.api_key_file} holds no key; add one")
    if not all(keys):
        raise InputError("api_key='' would let everybody in; give a key, or leave it out")
    return keys
