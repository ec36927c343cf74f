"""Collectives and training by PyTorch with Gloo, for longhaul's `torch` workloads.

A rank per host, started with torchrun's variables. Standard output is a JSON object a line (workloads/src/program/lines.rs); all else
goes to standard error. Times are CLOCK_MONOTONIC's, which all ranks share: the lab's hosts are on one machine.
"""

import argparse
import datetime
import json
import os
import time

import torch
import torch.distributed as dist

FLOAT_BYTES = 4
# Distinct, and small enough for their sums to be exact.
PERIOD = 7
# What a rank may need to wake up, on a machine that does much else.
SLACK_NS = 5_000_000


def tell(kind, **fields):
    print(json.dumps({"kind": kind, **fields}), flush=True)


def common_start():
    """Waits until an instant that is the same on all ranks, and answers it."""
    began = time.monotonic_ns()
    dist.barrier()
    # The same way again takes as long, at most: so all know of the instant before it comes.
    lead = 2 * (time.monotonic_ns() - began) + SLACK_NS
    instant = torch.tensor([time.monotonic_ns() + lead], dtype=torch.int64)
    dist.all_reduce(instant, op=dist.ReduceOp.MAX)
    instant = int(instant.item())
    time.sleep(max(0, instant - time.monotonic_ns()) / 1e9)
    return instant


def pattern(count, addend):
    return torch.arange(count, dtype=torch.int64).remainder(PERIOD).add(addend).float()


class Collective:
    """One collective of `count` numbers: `fill`, `run`, and what is wrong."""

    def __init__(self, name, count):
        self.name = name
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()
        self.part = count // self.ranks
        self.count = count
        self.in_place = name in ("all_reduce", "broadcast")
        if name == "all_gather":
            self.input = torch.empty(self.part)
            self.output = list(torch.empty(count).chunk(self.ranks))
        else:
            self.input = torch.empty(count)
            self.output = torch.empty(0 if self.in_place else count)

    def fill(self):
        # What the iteration before left there would be right for this one, too.
        for output in self.output if self.name == "all_gather" else [self.output]:
            output.fill_(float("nan"))
        if self.name == "all_to_all":
            for to, part in enumerate(self.input.chunk(self.ranks)):
                part.copy_(pattern(self.part, self.rank + to))
        else:
            self.input.copy_(pattern(self.input.numel(), self.rank))

    def run(self):
        if self.name == "all_reduce":
            dist.all_reduce(self.input)
        elif self.name == "broadcast":
            dist.broadcast(self.input, src=0)
        elif self.name == "all_gather":
            dist.all_gather(self.output, self.input)
        elif self.name == "all_to_all":
            dist.all_to_all_single(self.output, self.input)
        elif self.name == "send_recv":
            send = dist.isend(self.input, (self.rank + 1) % self.ranks)
            dist.recv(self.output, (self.rank - 1) % self.ranks)
            send.wait()

    def wrong(self):
        if self.name == "all_reduce":
            expected = pattern(self.count, 0) * self.ranks + self.ranks * (self.ranks - 1) / 2
            return int((self.input != expected).sum())
        if self.name == "broadcast":
            return int((self.input != pattern(self.count, 0)).sum())
        if self.name == "send_recv":
            return int((self.output != pattern(self.count, (self.rank - 1) % self.ranks)).sum())
        if self.name == "all_gather":
            expected = [pattern(self.part, rank) for rank in range(self.ranks)]
            return sum(int((got != want).sum()) for got, want in zip(self.output, expected))
        expected = [pattern(self.part, rank + self.rank) for rank in range(self.ranks)]
        return int((self.output != torch.cat(expected)).sum())


def run_collective(options):
    for count in options.counts:
        collective = Collective(options.collective, count)
        for number in range(options.warmup + options.iterations):
            warmup = number < options.warmup
            collective.fill()
            start = common_start()
            collective.run()
            end = time.monotonic_ns()
            tell(
                "iteration",
                size=count * FLOAT_BYTES,
                count=count,
                placement="in-place" if collective.in_place else "out-of-place",
                iteration=number if warmup else number - options.warmup,
                warmup=warmup,
                start_ns=start,
                end_ns=max(start, end),
                wrong=collective.wrong(),
            )


def sent_bytes(interface):
    """What this host has sent: /sys shows the machine's interfaces, this the namespace's."""
    with open("/proc/self/net/dev") as table:
        for line in table:
            name, _, counters = line.partition(":")
            if name.strip() == interface:
                return int(counters.split()[8])
    raise SystemExit(f"there is no interface {interface}")


class Perceptron(torch.nn.Module):
    """Four square layers of about so many numbers together."""

    LAYERS = 4

    def __init__(self, parameters):
        super().__init__()
        self.width = max(4, int((parameters / self.LAYERS) ** 0.5))
        layers = []
        for _ in range(self.LAYERS):
            layers += [torch.nn.Linear(self.width, self.width), torch.nn.Tanh()]
        self.layers = torch.nn.Sequential(*layers)

    def forward(self, batch):
        return self.layers(batch)


def in_turn(hook):
    """The hook with each bucket done before the next begins.

    PowerSGD starts one collective when another has ended. Over long ways that is at another moment on every rank, and Gloo pairs
    collectives by the order in which they start: two buckets at once would wait for each other for ever.
    """

    def wait(state, bucket):
        future = hook(state, bucket)
        future.wait()
        return future

    return wait


def data_parallel(model, options):
    """The model with its gradients averaged at every step."""
    parallel = torch.nn.parallel.DistributedDataParallel(model)
    if options.compression == "fp16":
        from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

        parallel.register_comm_hook(None, default_hooks.fp16_compress_hook)
    elif options.compression == "powersgd":
        from torch.distributed.algorithms.ddp_comm_hooks import powerSGD_hook

        # The first steps go whole, as the approximation begins with what they left.
        state = powerSGD_hook.PowerSGDState(
            process_group=None,
            matrix_approximation_rank=options.powersgd_rank,
            start_powerSGD_iter=2,
        )
        parallel.register_comm_hook(state, in_turn(powerSGD_hook.powerSGD_hook))
    return parallel


class OuterSync:
    """DiLoCo's outer step: the average of what the ranks' own steps changed, by momentum (arXiv:2311.08105, its rate and momentum)."""

    RATE = 0.7
    MOMENTUM = 0.9

    def __init__(self, model, compression):
        self.parameters = list(model.parameters())
        self.compression = compression
        for parameter in self.parameters:
            dist.broadcast(parameter.data, src=0)
        self.anchor = [parameter.detach().clone() for parameter in self.parameters]
        self.optimizer = torch.optim.SGD(
            self.anchor, lr=self.RATE, momentum=self.MOMENTUM, nesterov=True
        )

    def step(self):
        ranks = dist.get_world_size()
        with torch.no_grad():
            differences = [old - new for old, new in zip(self.anchor, self.parameters)]
            whole = torch.cat([difference.flatten() for difference in differences])
            if self.compression == "fp16":
                whole = whole.half()
            dist.all_reduce(whole)
            whole = whole.float() / ranks
            at = 0
            for old in self.anchor:
                old.grad = whole[at : at + old.numel()].view_as(old).clone()
                at += old.numel()
            self.optimizer.step()
            for old, new in zip(self.anchor, self.parameters):
                new.copy_(old)


def run_training(options):
    torch.manual_seed(1)
    model = Perceptron(options.parameters)
    is_local = options.local_steps > 1
    outer = OuterSync(model, options.compression) if is_local else None
    trained = model if is_local else data_parallel(model, options)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    # Each rank has data of its own, of one function that all are to learn.
    teacher = torch.randn(model.width, model.width) / model.width**0.5
    torch.manual_seed(1000 + dist.get_rank())
    dist.barrier()
    for number in range(options.warmup + options.iterations):
        inputs = torch.randn(options.batch, model.width)
        targets = torch.tanh(inputs @ teacher)
        start, sent = time.monotonic_ns(), sent_bytes(options.interface)
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(trained(inputs), targets)
        loss.backward()
        optimizer.step()
        synced = time.monotonic_ns()
        is_sync = is_local and (number + 1) % options.local_steps == 0
        if is_sync:
            outer.step()
        end = time.monotonic_ns()
        if number < options.warmup:
            continue
        bytes_sent = sent_bytes(options.interface) - sent
        tell("value", name="sent per step", unit="bytes", better="lower", at_ns=end, value=bytes_sent)
        # All ranks wait for each other, so one tells how long it took.
        if dist.get_rank() > 0:
            continue
        step = {"unit": "us", "better": "lower", "at_ns": end}
        tell("value", name="step time", value=(end - start) / 1e3, **step)
        if is_sync:
            tell("value", name="sync time", value=(end - synced) / 1e3, **step)
        tell("value", name="loss", unit="", better="neither", at_ns=end, value=loss.item())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--iterations", type=int, required=True)
    parser.add_argument("--warmup", type=int, required=True)
    parser.add_argument("--timeout", type=int, required=True)
    parser.add_argument("--collective")
    parser.add_argument("--counts", type=lambda text: [int(count) for count in text.split(",")])
    parser.add_argument("--parameters", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--compression")
    parser.add_argument("--powersgd-rank", type=int)
    parser.add_argument("--local-steps", type=int)
    parser.add_argument("--interface")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=options.timeout))
    if dist.get_rank() == 0:
        tell("version", name="PyTorch", version=torch.__version__)
    if options.collective:
        run_collective(options)
    else:
        run_training(options)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
