"""A step of PyTorch's DistributedDataParallel (gloo) with two processes of one thread: prints its milliseconds.

   python peer_ddp.py ae|resnet20 batch steps
"""
import os
import statistics
import sys
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from peer import Autoencoder
from peer_models import resnet20

RANKS, STRETCHES = 2, 5


def work(rank, name, batch, steps, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=RANKS)
    torch.manual_seed(1)
    own = batch // RANKS
    if name == "ae":
        x = torch.rand(own, 1, 32, 32) * 2 - 1
        model, loss_of = Autoencoder(), lambda m: F.mse_loss(m(x), x)
    else:
        x, y = torch.rand(own, 3, 32, 32), torch.randint(0, 10, (own,))
        model, loss_of = resnet20()[0], lambda m: F.cross_entropy(m(x), y)
    model = DistributedDataParallel(model)
    opt = torch.optim.Adam(model.parameters())

    def step():
        opt.zero_grad(set_to_none=True)
        loss_of(model).backward()
        opt.step()

    for _ in range(3):
        step()
    times = []
    for _ in range(STRETCHES):
        begun = time.perf_counter()
        for _ in range(steps):
            step()
        times.append((time.perf_counter() - begun) / steps)
    if rank == 0:
        print(f"{1e3 * statistics.median(times):.4f}")
    dist.destroy_process_group()


if __name__ == "__main__":
    name, batch, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    mp.spawn(work, args=(name, batch, steps, str(20000 + os.getpid() % 20000)), nprocs=RANKS)
