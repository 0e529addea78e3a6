"""The passes of a network compiled, where sampling is long enough for that to pay."""

import logging

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memo_core.errors import first_line
from memo_core.memory import is_memory_error
from memo_core.model.compiling import RECOMPILE_LIMIT, compiled
from memo_core.model.denoiser import Denoiser, NetworkDenoiser

_WORTH_COMPILING = {"cpu": 4e9, "cuda": 4e10}
"""Passes times the values of the network's widest feature maps from which compiling pays: measured on a CPU
(docs/performance.md, Sampling), and on a GPU about one evaluation of the paper's network."""

_log = logging.getLogger(__name__)


class CompiledDenoiser:
    """A network whose passes are compiled, each size of a batch by itself; the same numbers to rounding.

    Where the compiler fails, the log says so once, and the network itself runs from then on.

    Args:
        network: whose values may change between passes, but not its device.
        backend: of torch.compile; `aot_eager` follows the whole way without generating code.
    """

    def __init__(self, network: NetworkDenoiser, backend: str = "inductor") -> None:
        self.network, self.precision = network, network.precision
        self.sigma_min, self.sigma_max = network.sigma_min, network.sigma_max
        self.image_shape, self.num_labels = network.image_shape, network.num_labels
        self._pass = compiled(_pass, network.device, backend)
        self._is_compiled = True

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.device

    def __call__(
        self, x: Float[Tensor, "n c h w"], sigma: Float[Tensor, " n"], labels: Int[Tensor, " n"] | None = None, /
    ) -> Float[Tensor, "n c h w"]:
        """Denoise, as the network does."""
        if self._is_compiled:
            try:
                with torch._dynamo.config.patch(recompile_limit=RECOMPILE_LIMIT):
                    return self._pass(self.network, x, sigma, labels)
            # The compiler fails in many ways, first of all where no C compiler is installed.
            except Exception as error:
                if is_memory_error(error):
                    raise
                _log.warning("sampling is not compiled (%s)", first_line(getattr(error, "inner_exception", error)))
                self._is_compiled = False
        return _pass(self.network, x, sigma, labels)


def _pass(network: NetworkDenoiser, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
    denoised: Tensor = network(x, sigma, labels)
    return denoised


def compiled_if_it_pays(network: NetworkDenoiser, passes: int) -> Denoiser:
    """Return a network, compiled where its passes save more time than the compiler takes.

    Args:
        network: that is sampled.
        passes: of one image each, in all evaluations to come.
    """
    values = network.model.resolution**2 * network.model.config.width
    worth = _WORTH_COMPILING["cuda" if network.device.type == "cuda" else "cpu"]
    return CompiledDenoiser(network) if passes * values >= worth else network


def network_of(denoiser: Denoiser) -> NetworkDenoiser | None:
    """Return the network that a denoiser is, compiled or not; None where it is another kind."""
    network = denoiser.network if isinstance(denoiser, CompiledDenoiser) else denoiser
    return network if isinstance(network, NetworkDenoiser) else None
