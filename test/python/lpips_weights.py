"""Prints the body of inference/evaluation/lpips-weights.ts: the learned weights of pip's lpips.

They are lin0 .. lin4 of weights/v0.1/vgg.pth, one behind the other, float32, little-endian, base64.
"""

import base64
import os
import textwrap

import lpips
import numpy as np
import torch

path = os.path.join(os.path.dirname(lpips.__file__), "weights", "v0.1", "vgg.pth")
layers = torch.load(path, map_location="cpu", weights_only=True)
values = [layers[f"lin{i}.model.1.weight"].numpy().reshape(-1) for i in range(5)]
text = base64.b64encode(np.concatenate(values).astype("<f4").tobytes()).decode()
print("\n".join(textwrap.wrap(text, 96)))
