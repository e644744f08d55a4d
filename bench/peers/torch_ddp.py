"""Whole steps of the `paper` preset in PyTorch DDP over gloo, for `lockstep bench train --peer`.

One process a worker on loopback. A step is that of torch_step.py: the gradients of generator and
discriminator at the same parameters, averaged over the workers while the backward pass runs, and
both Adams; BatchNorm keeps to a worker's own pictures. Channels last, gradients as views of DDP's
buckets, Adam in one kernel. Needs `pip install torch numpy`. Prints one line of JSON: the seconds of a
step (of all measured steps, over their number), and the images a second of all workers.

    python3 bench/peers/torch_ddp.py --workers 2 --batch 8 --threads 1 --steps 8
"""

import argparse
import inspect
import json
import os
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as processes
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from gloo_allreduce import free_port, join, total
from torch_step import Generator, discriminator


class Judge(nn.Module):
    """Photographs and generated pictures in one pass, for DDP: two batches, each with its norms."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, hr, sr):
        return self.net(hr), self.net(sr)


def step_of(args):
    torch.manual_seed(0)
    place = dict(memory_format=torch.channels_last)
    g, d = Generator().to(**place), discriminator(args.crop).to(**place)
    # Each worker's norms are its own: nothing is copied between them before a step.
    options = dict(gradient_as_bucket_view=True)
    has_newer = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    options["forward_sync_buffers" if has_newer else "broadcast_buffers"] = False
    generate = DistributedDataParallel(g, **options)
    judge = DistributedDataParallel(Judge(d), **options)
    adams = [torch.optim.Adam(net.parameters(), 1e-4, fused=args.fused) for net in (g, d)]
    torch.manual_seed(1 + dist.get_rank())
    lr = torch.rand(args.batch, 3, args.crop // 4, args.crop // 4).to(**place)
    hr = (torch.rand(args.batch, 3, args.crop, args.crop) * 2 - 1).to(**place)
    ones = torch.ones(args.batch, 1)

    def bce(logits, label):
        return F.binary_cross_entropy_with_logits(logits, label * ones)

    def step():
        for adam in adams:
            adam.zero_grad(set_to_none=False)
        d.requires_grad_(False)
        sr = generate(lr)
        (F.mse_loss(sr, hr) + 1e-3 * bce(d(sr), 1)).backward()
        d.requires_grad_(True)
        photographs, generated = judge(hr, sr.detach())
        (bce(photographs, 1) + bce(generated, 0)).backward()
        for adam in adams:
            adam.step()

    return step


def work(rank, args, port):
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    join(rank, args.workers, port)
    torch.set_num_threads(args.threads)
    step = step_of(args)
    for _ in range(args.warm_up):
        step()
    dist.barrier()
    start, used = time.perf_counter(), time.process_time()
    # No barrier in between: a worker may be ahead by what it overlaps.
    for _ in range(args.steps):
        step()
    dist.barrier()
    step_s = (time.perf_counter() - start) / args.steps
    cpu_s = total([(time.process_time() - used) / args.steps])
    if rank == 0:
        version = torch.__version__.split("+")[0]
        result = {
            "step_s": round(step_s, 4),
            "images_per_s": round(args.workers * args.batch / step_s, 3),
            "cpu_s": round(cpu_s, 3),
            "engine": f"PyTorch {version} DDP over gloo",
        }
        print(json.dumps(result), flush=True)
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser()
    counts = (("workers", 2), ("batch", 8), ("threads", 1), ("steps", 8), ("warm-up", 2))
    for name, value in (*counts, ("crop", 96)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--no-fused", dest="fused", action="store_false", help="Adam op by op")
    args = parser.parse_args()
    processes.spawn(work, (args, free_port()), nprocs=args.workers)


if __name__ == "__main__":
    main()
