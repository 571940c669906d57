"""Models that are compiled for a GPU to be tuned."""

import json

from locked import locked

from tapeout import compile_model


def gpu_artifact(folder, config):
    """A model of random weights compiled for a GPU, once for all workers."""
    with locked(folder):
        output = folder / "model.tapeout"
        if not output.exists():
            folder.mkdir(exist_ok=True)
            (folder / "config.json").write_text(json.dumps(config.to_dict()))
            options = {"load_format": "dummy", "dtype": "bfloat16"}
            compile_model(folder, output, "cuda:sm_90", **options)
    return output
