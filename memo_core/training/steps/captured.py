"""The training step compiled, and captured as one CUDA graph; the same step as `training_step`, up to rounding."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from memo_core.errors import first_line
from memo_core.memory import is_memory_error
from memo_core.model.compiling import RECOMPILE_LIMIT, compiled
from memo_core.training.steps.split import Split
from memo_core.training.steps.step import Loss, TrainingState, denoising_loss, differentiate, move, training_step

Step = Callable[[TrainingState, Tensor, Tensor | None, Tensor, Tensor, float, float], Tensor]
"""A function like `training_step`, without its last arguments."""

AddUp = Callable[[Tensor], None]
"""Replaces a tensor by its sum over all ranks."""

_WARM_UP_STEPS = 3
"""Before a capture: libraries choose kernels and allocate workspaces, which a graph cannot hold."""

_log = logging.getLogger(__name__)


def choose_step(
    mode: str,
    device: torch.device,
    split: Split | None = None,
    add_up: AddUp | None = None,
    on_failure: Callable[[], None] | None = None,
) -> Step:
    """Return the training step for `training.compile`.

    Args:
        mode: `none` runs `training_step` operation by operation; `graph` captures it as one CUDA graph; `full` compiles
            the loss and its gradient too; `auto` is `full` on a GPU and `none` on a CPU.
        device: of the network. On a CPU there are no graphs: `full` compiles alone, `graph` is `none`.
        split: the parts of each batch that this process takes; None takes it at once.
        add_up: sums gradients over the ranks; None where there is one.
        on_failure: called where the compiler of a CPU fails, and the step goes on without it; None lets it fail.
    """
    if device.type == "cuda" and mode != "none":
        loss = compiled_loss(device) if is_full(mode, device) else denoising_loss
        return CapturedStep(loss, fall_back=mode == "auto", split=split, add_up=add_up)
    if is_full(mode, device):
        loss = compiled_loss(device)
        return compiled_step(loss if on_failure is None else loss_or_plain(loss, on_failure), split, add_up)
    return training_step if split is None and add_up is None else plain_step(denoising_loss, split, add_up)


def is_full(mode: str, device: torch.device) -> bool:
    """Return whether `training.compile` compiles the network itself on a device."""
    return mode == "full" or (mode == "auto" and device.type == "cuda")


def compiled_loss(device: torch.device, backend: str = "inductor") -> Loss:
    """Return `denoising_loss` and its gradient, compiled at the first call for each shape.

    Args:
        device: of the network.
        backend: of torch.compile; `aot_eager` follows the whole way without generating code.
    """
    return compiled(denoising_loss, device, backend)


def loss_or_plain(loss: Loss, on_failure: Callable[[], None]) -> Loss:
    """Return a compiled loss that goes on as `denoising_loss` where the compiler fails, and says so in the log once.

    Args:
        loss: what `compiled_loss` gives.
        on_failure: called then.
    """

    def safe(*arguments: Any) -> Tensor:
        nonlocal loss
        try:
            return loss(*arguments)
        # The compiler fails in many ways, first of all where no C++ compiler is installed.
        except Exception as error:
            if loss is denoising_loss or is_memory_error(error):
                raise
            _log.warning("the training step is not compiled (%s); it runs operation by operation", first_line(error))
        loss = denoising_loss
        on_failure()
        return loss(*arguments)

    return safe


def compiled_step(loss: Loss, split: Split | None = None, add_up: AddUp | None = None) -> Step:
    """Return `plain_step` with a compiled loss, without a graph."""
    plain = plain_step(loss, split, add_up)

    def step(*arguments: Any) -> Tensor:
        with torch._dynamo.config.patch(recompile_limit=RECOMPILE_LIMIT):
            return plain(*arguments)

    return step


def plain_step(loss: Loss, split: Split | None = None, add_up: AddUp | None = None) -> Step:
    """Return `training_step` with a loss of its own, over the parts of a split, with gradients summed over ranks."""

    def step(
        state: TrainingState,
        images: Tensor,
        labels: Tensor | None,
        sigma: Tensor,
        noise: Tensor,
        learning_rate: float,
        ema_decay: float,
    ) -> Tensor:
        parts = None if split is None else split.parts(len(images))
        if add_up is None:
            return training_step(state, images, labels, sigma, noise, learning_rate, ema_decay, loss, parts)
        found = differentiate(state, images, labels, sigma, noise, loss, parts)
        _add_up(state, found, add_up)
        move(state, learning_rate, ema_decay)
        return found

    return step


def _add_up(state: TrainingState, loss: Tensor, add_up: AddUp) -> None:
    """Sum gradients and loss over the ranks, each of which has those of its parts of the batch."""
    gradients = state.parameters.gradients
    assert gradients is not None
    add_up(gradients)
    add_up(loss)


class CapturedStep:
    """A training step as one CUDA graph, which the GPU runs without waiting for Python.

    The first call captures it: what the step reads lies in buffers of its own, which each call fills. A captured step
    belongs to one state; make a new one when the optimizer's state was replaced, as loading a checkpoint does.

    Args:
        loss: to be differentiated, `denoising_loss` or what `compiled_loss` gives.
        fall_back: capture the uncompiled loss where the compiler fails, and say so in the log.
        pool: the graph's memory, a `torch.cuda.graph_pool_handle`; steps that never run at the same time can share it.
        split: the parts of each batch that this process takes; None takes it at once.
        add_up: sums gradients over the ranks: then the graph ends with the gradients of this rank, and their sum and
            Adam's step follow it, a handful of operations. None where there is one rank.
    """

    def __init__(
        self,
        loss: Loss = denoising_loss,
        fall_back: bool = False,
        pool: Any = None,
        split: Split | None = None,
        add_up: AddUp | None = None,
    ) -> None:
        self._loss, self._fall_back, self._pool = loss, fall_back, pool
        self._split, self._add_up = split, add_up
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(
        self,
        state: TrainingState,
        images: UInt8[Tensor, "n c h w"],
        labels: Int[Tensor, " n"] | None,
        sigma: Float[Tensor, " n"],
        noise: Float[Tensor, "n c h w"],
        learning_rate: float,
        ema_decay: float,
    ) -> Float[Tensor, ""]:
        """Move `state` by one step, as `training_step` does; the host does not wait for it."""
        if self._graph is None:
            self._batch = (images.clone(), None if labels is None else labels.clone(), sigma.clone(), noise.clone())
            self._learning_rate = torch.zeros((), device=images.device)
            # 1 - ema_decay is small: it is formed in float64, as from a Python number.
            self._ema_decay = torch.zeros((), dtype=torch.float64, device=images.device)
            self._capture(state)
        for buffer, value in zip(self._batch, (images, labels, sigma, noise), strict=True):
            if buffer is not None and value is not None:
                buffer.copy_(value)
        self._learning_rate.fill_(learning_rate)
        self._ema_decay.fill_(ema_decay)
        assert self._graph is not None
        self._graph.replay()
        loss = self._captured_loss.clone()
        if self._add_up is not None:
            _add_up(state, loss, self._add_up)
            move(state, learning_rate, ema_decay)
        return loss

    def _run(self, state: TrainingState) -> Tensor:
        parts = None if self._split is None else self._split.parts(len(self._batch[0]))
        if self._add_up is not None:
            return differentiate(state, *self._batch, self._loss, parts)
        return training_step(state, *self._batch, self._learning_rate, self._ema_decay, self._loss, parts)

    def _capture(self, state: TrainingState) -> None:
        device = self._batch[0].device
        with torch.cuda.device(device), torch.random.fork_rng(devices=[device]), _unchanged(state):
            try:
                self._warm_up(state, device)
            # The compiler fails in many ways, first of all where no C compiler is installed.
            except Exception as error:
                if not self._fall_back or self._loss is denoising_loss or isinstance(error, torch.OutOfMemoryError):
                    raise
                _log.warning("the training step is not compiled (%s); it runs as a CUDA graph", first_line(error))
                self._loss = denoising_loss
                self._warm_up(state, device)
            graph = torch.cuda.CUDAGraph()
            state.optimizer.param_groups[0]["capturable"] = True
            try:
                with torch.cuda.graph(graph, pool=self._pool):
                    self._captured_loss = self._run(state)
            finally:
                # Checkpoints hold these: numbers, whatever the step was.
                state.optimizer.param_groups[0].update(capturable=False, lr=0.0)
        self._graph = graph

    def _warm_up(self, state: TrainingState, device: torch.device) -> None:
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream), torch._dynamo.config.patch(recompile_limit=RECOMPILE_LIMIT):
            for _ in range(_WARM_UP_STEPS):
                self._run(state)
        torch.cuda.current_stream(device).wait_stream(stream)


@contextlib.contextmanager
def _unchanged(state: TrainingState) -> Iterator[None]:
    """Take back in place what steps do to a state; Adam's moments stay allocated."""
    values, average = state.parameters.values.data, state.ema_parameters.values.data
    moments = state.optimizer.state[state.parameters.values]
    kept = {name: moment.clone() for name, moment in moments.items()}
    kept_values, kept_average = values.clone(), average.clone()
    try:
        yield
    finally:
        values.copy_(kept_values)
        average.copy_(kept_average)
        for name, moment in moments.items():
            if name in kept:
                moment.copy_(kept[name])
            else:
                moment.zero_()
