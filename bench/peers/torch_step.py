"""The `paper` preset's step in PyTorch, for `lockstep bench engines --peer`.

Forward, all gradients of generator and discriminator, and Adam, channels last. Needs `pip install
torch numpy`. Prints one line of JSON: the median seconds of a step, and what computed it.

    python3 bench/peers/torch_step.py --batch 8 --threads 1 --steps 5 [--device cuda] [--compile]
        [--precision float32|tf32|bfloat16]
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(c, c, 3, 1, 1), nn.BatchNorm2d(c), nn.PReLU(c),
            nn.Conv2d(c, c, 3, 1, 1), nn.BatchNorm2d(c),
        )

    def forward(self, x):
        return x + self.layers(x)


class Generator(nn.Module):
    def __init__(self, blocks=16, c=64):
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, c, 9, 1, 4), nn.PReLU(c))
        self.body = nn.Sequential(
            *[Block(c) for _ in range(blocks)], nn.Conv2d(c, c, 3, 1, 1), nn.BatchNorm2d(c)
        )
        up = [[nn.Conv2d(c, 4 * c, 3, 1, 1), nn.PixelShuffle(2), nn.PReLU(c)] for _ in range(2)]
        self.tail = nn.Sequential(*up[0], *up[1], nn.Conv2d(c, 3, 9, 1, 4), nn.Tanh())

    def forward(self, x):
        x = self.head(x)
        return self.tail(x + self.body(x))


def discriminator(crop):
    layers, channels = [], 3
    for i, (c, stride) in enumerate((c, s) for c in (64, 128, 256, 512) for s in (1, 2)):
        layers.append(nn.Conv2d(channels, c, 3, stride, 1))
        if i > 0:
            layers.append(nn.BatchNorm2d(c))
        layers.append(nn.LeakyReLU(0.2))
        channels = c
    head = [nn.Flatten(), nn.Linear(512 * (crop // 16) ** 2, 1024), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, *head, nn.Linear(1024, 1))


def main():
    parser = argparse.ArgumentParser()
    for name, value in (("batch", 8), ("threads", 1), ("steps", 5), ("crop", 96)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="by torch.compile")
    parser.add_argument("--precision", default="float32", choices=("float32", "tf32", "bfloat16"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    # As TensorFlow and ONNX Runtime compute: no TF32 unless asked for, the best convolution found
    # once.
    has_tf32 = args.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = has_tf32
    torch.backends.cudnn.benchmark = True
    place = dict(device=args.device, memory_format=torch.channels_last)
    g, d = Generator().to(**place), discriminator(args.crop).to(**place)
    # One kernel for all parameters where there is one.
    adams = [torch.optim.Adam(net.parameters(), 1e-4, fused=args.device != "cpu") for net in (g, d)]
    lr = torch.rand(args.batch, 3, args.crop // 4, args.crop // 4).to(**place)
    hr = (torch.rand(args.batch, 3, args.crop, args.crop) * 2 - 1).to(**place)
    ones = torch.ones(args.batch, 1, device=args.device)

    def bce(logits, label):
        return F.binary_cross_entropy_with_logits(logits, label * ones)

    def generator_loss():
        sr = g(lr)
        return F.mse_loss(sr, hr) + 1e-3 * bce(d(sr), 1), sr.detach()

    def discriminator_loss(sr):
        return bce(d(hr), 1) + bce(d(sr), 0)

    losses = [generator_loss, discriminator_loss]
    if args.compile:
        losses = [torch.compile(loss) for loss in losses]
    is_half = args.precision == "bfloat16"

    def step():
        with torch.autocast(args.device, torch.bfloat16, enabled=is_half):
            d.requires_grad_(False)
            loss, sr = losses[0]()
            adams[0].zero_grad(set_to_none=True)
        loss.backward()
        with torch.autocast(args.device, torch.bfloat16, enabled=is_half):
            d.requires_grad_(True)
            adams[1].zero_grad(set_to_none=True)
            judged = losses[1](sr)
        judged.backward()
        for adam in adams:
            adam.step()
        # Waits for a GPU.
        return float(loss)

    times, processor = [], []
    began = time.perf_counter()
    for i in range(args.steps + 2):
        start, used = time.perf_counter(), time.process_time()
        step()
        if i == 0:
            compiled = time.perf_counter() - began
        if i >= 2:
            times.append(time.perf_counter() - start)
            processor.append(time.process_time() - used)
    kind = "compiled" if args.compile else "eager"
    version = torch.__version__.split("+")[0]
    result = {
        "step_s": round(statistics.median(times), 4),
        "cpu_s": round(statistics.median(processor), 4),
        "compile_s": round(compiled, 2),
        "engine": f"PyTorch {version} {args.device} {args.precision} {kind}",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
