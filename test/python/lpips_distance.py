"""LPIPS by pip's lpips on VGG-16, with the weights of a safetensors file, of pairs of pictures.

argv: the file, with torchvision's names
stdin: [{"width": w, "height": h, "picture": base64, "original": base64}, ...], 8-bit RGB
stdout: [distance, ...]
"""

import base64
import json
import sys
from types import SimpleNamespace

import lpips
import numpy as np
import torch
from safetensors.torch import load_file
from torchvision.models.vgg import cfgs, make_layers

weights = load_file(sys.argv[1])
trunk = make_layers(cfgs["D"])
trunk.load_state_dict({name.removeprefix("features."): t for name, t in weights.items()})
# What it would ask torchvision for, without the dense layers, which take long to make.
lpips.pretrained_networks.tv.vgg16 = lambda **_: SimpleNamespace(features=trunk)
metric = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)


def tensor(pair, name):
    pixels = np.frombuffer(base64.b64decode(pair[name]), dtype=np.uint8)
    picture = pixels.reshape(1, pair["height"], pair["width"], 3).transpose(0, 3, 1, 2)
    return torch.from_numpy(picture.astype(np.float32) / 127.5 - 1)


with torch.no_grad():
    distances = [
        float(metric(tensor(pair, "picture"), tensor(pair, "original")))
        for pair in json.load(sys.stdin)
    ]
json.dump(distances, sys.stdout)
