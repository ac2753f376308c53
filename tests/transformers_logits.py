"""The logits that the transformers library gives for the checkpoints of test_convert.py, and the PEFT
library for its adapters, kept in tests/data/transformers.npz so that the tests need neither them nor
PyTorch. Run again, with all three installed, when a checkpoint changes:

    python tests/transformers_logits.py            writes tests/data/transformers.npz
"""
import pathlib
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import test_convert as t

FILE = pathlib.Path(__file__).parent / "data" / "transformers.npz"


def logits(kind, folder):
    import torch
    from transformers import AutoModelForCausalLM
    c = t.library_checkpoint(kind)
    c.write(folder, "F32")
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    wrong = {k: v for k, v in info.items() if v and k != "error_msgs"}
    assert not wrong, f"{kind}: {wrong}"
    with torch.no_grad():
        return model.eval()(torch.tensor([t.LIBRARY_IDS])).logits[0].numpy()


def adapted(name, folder):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM
    kind, config, changes = t.ADAPTED[name]
    t.Checkpoint(kind).write(folder / "m", "F32")
    modules = ["q_proj", "v_proj", "down_proj"] + (["embed_tokens"] if "tokens" in name else [])
    t.peft(folder / "a", changes, {**config, "target_modules": modules, "task_type": "CAUSAL_LM"})
    base = AutoModelForCausalLM.from_pretrained(folder / "m", dtype=torch.float32, attn_implementation="eager")
    model = PeftModel.from_pretrained(base, folder / "a").eval()
    with torch.no_grad():
        return model(torch.tensor([t.LIBRARY_IDS])).logits[0].numpy()


if __name__ == "__main__":
    out = {}
    for kind in t.LIBRARY:
        with tempfile.TemporaryDirectory() as d:
            out[kind] = logits(kind, pathlib.Path(d))
    for name in t.ADAPTED:
        with tempfile.TemporaryDirectory() as d:
            out["adapted " + name] = adapted(name, pathlib.Path(d))
    import transformers
    FILE.parent.mkdir(exist_ok=True)
    np.savez_compressed(FILE, version=transformers.__version__, **out)
    print(f"{FILE}: {len(out)} checkpoints, transformers {transformers.__version__}")
