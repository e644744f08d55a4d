"""All-reduce of float32 by PyTorch over gloo on loopback, for `lockstep bench exchange --peer`.

One process a worker, one thread each. Needs `pip install torch numpy`. Prints one line of JSON: the
median seconds of a step (of the slowest process), and NCCL's bus bandwidth of it.

    python3 bench/peers/gloo_allreduce.py --workers 2 --mib 95 --steps 10 --warm-up 3
"""

import argparse
import json
import os
import socket
import statistics
import time
from contextlib import closing

import torch
import torch.distributed as dist
import torch.multiprocessing as processes


def free_port():
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def join(rank, workers, port):
    """Joins the group of all workers, over loopback as ours do."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=workers)


def slowest(times):
    """What each step took the slowest worker."""
    all_times = torch.tensor(times, dtype=torch.float64)
    dist.all_reduce(all_times, dist.ReduceOp.MAX)
    return all_times.tolist()


def total(seconds):
    """The medians of all workers, added up."""
    value = torch.tensor(statistics.median(seconds), dtype=torch.float64)
    dist.all_reduce(value)
    return value.item()


def work(rank, args, port):
    join(rank, args.workers, port)
    values = torch.full((round(args.mib * 2**18),), float(rank + 1))
    times, processor = [], []
    for step in range(args.warm_up + args.steps):
        values.fill_(rank + 1)
        dist.barrier()
        start, used = time.perf_counter(), time.process_time()
        dist.all_reduce(values)
        if step >= args.warm_up:
            times.append(time.perf_counter() - start)
            processor.append(time.process_time() - used)
    expected = args.workers * (args.workers + 1) / 2
    is_right = bool((values == expected).all())
    step_s, cpu_s = statistics.median(slowest(times)), total(processor)
    if rank == 0:
        bandwidth = args.mib / step_s * 2 * (args.workers - 1) / args.workers
        version = torch.__version__.split("+")[0]
        result = {
            "busbw_mib_s": round(bandwidth, 1),
            "step_s": round(step_s, 4),
            "cpu_s": round(cpu_s, 3),
            "verified": is_right,
            "engine": f"gloo (PyTorch {version})",
        }
        print(json.dumps(result), flush=True)
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser()
    for name, value in (("workers", 2), ("steps", 10), ("warm-up", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--mib", type=float, default=95)
    args = parser.parse_args()
    processes.spawn(work, (args, free_port()), nprocs=args.workers)


if __name__ == "__main__":
    main()
