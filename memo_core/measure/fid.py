"""FID of generated images against the training set D: paper Appendix B and E, Heusel et al. 2017."""

import math
from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from memo_core.errors import MemosweepError

INCEPTION_FEATURES = 2048
"""The layer that published FIDs use."""
IMAGES_AT_ONCE = 50
"""InceptionV3 sees 299 x 299 pixels: about 1.3 GB of activations for so many."""


class FrechetDistance:
    """The Fréchet distance between features of generated images and of one training set.

    FID = |m - m_D|^2 + tr(S + S_D - 2 (S S_D)^(1/2)) with the means m and covariances S of the features
    (Heusel et al. 2017, eq. 6), computed by torchmetrics in float64. The training set passes the network once,
    here; generated images are added in parts of any size, and only sums are kept.

    FID depends on the number of images, and more the fewer there are: compare values of equal numbers only. The
    published ones are of 10,000 samples against D.

    Args:
        training: at least two uint8 images; features are computed on their device.
        network: any module that maps uint8 images (N, 3, H, W) to features (N, d), put into evaluation mode; None
            takes InceptionV3 with the weights and the resizing of the published FIDs.

    Raises:
        MemosweepError: too few training images, InceptionV3 or its weights cannot be had, or features of the
            wrong shape.
    """

    def __init__(self, training: UInt8[Tensor, "m c h w"], network: nn.Module | None = None) -> None:
        # Three seconds to import, and most runs measure no FID.
        from torchmetrics.image.fid import FrechetInceptionDistance  # noqa: PLC0415

        if len(training) < 2:
            raise MemosweepError(f"{len(training)} training images: FID needs at least 2")
        self.device = training.device
        features = _Features((network or inception()).to(self.device).eval())
        features.num_features = _width(features, training)
        # torchmetrics asks the module for its width; otherwise it would draw a random image to find out.
        self._metric = FrechetInceptionDistance(feature=features, reset_real_features=False).to(self.device)
        self._add(training, real=True)
        self._added = 0

    def add(self, generated: Tensor) -> None:
        """Count generated images in, uint8 (N, C, H, W).

        Raises:
            MemosweepError: they are not uint8 images.
        """
        if generated.dtype != torch.uint8 or generated.ndim != 4:
            raise MemosweepError(
                f"generated images of shape {list(generated.shape)} and type {generated.dtype}: "
                "FID takes (N, C, H, W), torch.uint8"
            )
        self._add(generated, real=False)
        self._added += len(generated)

    def take(self) -> float:
        """Return the FID of the images added since the last call, at least 0; the next ones start afresh.

        Raises:
            MemosweepError: fewer than two images were added, or features are not finite.
        """
        if self._added < 2:
            raise MemosweepError(f"{self._added} generated images: FID needs at least 2")
        value = float(self._metric.compute())
        self._metric.reset()
        self._added = 0
        if not math.isfinite(value):
            raise MemosweepError(f"FID = {value}: features of the images are not finite")
        # Equal sets may come out below 0 by rounding.
        return max(0.0, value)

    @torch.no_grad()
    def _add(self, images: Tensor, real: bool) -> None:
        for part in torch.split(images, IMAGES_AT_ONCE):
            self._metric.update(part.to(self.device), real=real)


class _Features(nn.Module):
    """A feature network that takes gray images too, repeated to three channels."""

    num_features: int

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return features (N, d) of images (N, 1 or 3, H, W)."""
        color = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        found: Tensor = self.network(color)
        return found


@torch.no_grad()
def _width(features: _Features, images: Tensor) -> int:
    found = features(images[:2])
    if found.ndim != 2 or len(found) != 2:
        raise MemosweepError(
            f"the feature network gives shape {list(found.shape)} for 2 images: FID takes features (N, d)"
        )
    return int(found.shape[1])


def inception() -> nn.Module:
    """Load InceptionV3 of the published FIDs, uint8 (N, 3, H, W) to (N, 2048): only here is torch-fidelity used.

    Its weights (96 MB) are downloaded once by torch-fidelity into the folder of torch.hub. Images are resized as
    the original network did, without antialiasing.

    Raises:
        MemosweepError: torch-fidelity is not installed, or the weights cannot be had.
    """
    if find_spec("torch_fidelity") is None:
        raise MemosweepError(
            "FID needs InceptionV3 of torch-fidelity, which is not installed: python -m pip install torch-fidelity "
            "(or 'memosweep[fid]')"
        )
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3  # noqa: PLC0415
    from torchmetrics.image.fid import NoTrainInceptionV3  # noqa: PLC0415

    try:
        # Its layers draw initial values before the weights are read: the caller's random numbers stay as they are.
        with torch.random.fork_rng(devices=[]):
            network = NoTrainInceptionV3(name="inception-v3-compat", features_list=[str(INCEPTION_FEATURES)])
    except (OSError, RuntimeError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise MemosweepError(
            f"FID needs the weights of InceptionV3, which cannot be read or downloaded ({reason}): "
            f"put {URL_INCEPTION_V3} into {folder}"
        ) from None
    # Newer versions of torchmetrics resize with antialiasing, older ones know only the original way.
    network.use_antialias = False
    module: nn.Module = network
    return module
