"""The closed-form optimal denoiser of a training set: all that it can draw are training images.

Source: paper, eq. 2 and 32 (unconditional) and eq. 61 (per class), the same as eq. 57 of Karras et al. 2022:

    D*(x; sigma) = sum_n softmax_n(-||x - x_n||^2 / (2 sigma^2)) x_n.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memo_core.errors import MemosweepError
from memo_core.model.unet import check_labels

QUERIES_AT_ONCE = 256
CHUNK_BYTES = 64 * 2**20
LOGIT_ERROR = 1e-4
"""Single precision is used only where it cannot move a logit by more than this."""


class OptimalDenoiser:
    """The denoiser that minimizes the training loss on `images` exactly; a `Denoiser`.

    Memory beyond the uint8 images stays bounded whatever their number: they are converted chunk by chunk, and
    the softmax is accumulated as a streaming log-sum-exp.

    Args:
        images: the training set (N, C, H, W), uint8; kept as it is.
        labels: (N,) int64 in 0..num_labels-1 for the optimum per class; None for the unconditional one.
        num_labels: C of the condition; None takes the largest label + 1.
        device: where to compute; None takes that of the images.

    Raises:
        MemosweepError: images or labels of the wrong type or shape, or none at all.
    """

    sigma_min: float = 0.0
    sigma_max: float = math.inf

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        num_labels: int | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4 or len(images) == 0:
            raise MemosweepError(
                f"training images of shape {list(images.shape)} and type {images.dtype}: the optimum takes "
                "at least one image as (N, C, H, W), torch.uint8"
            )
        self.device = images.device if device is None else torch.device(device)
        self.image_shape: tuple[int, int, int] = (images.shape[1], images.shape[2], images.shape[3])
        self._pixels = images.reshape(len(images), -1).to(self.device)
        self._half_norms = self._squared_norms() / 2
        self.num_labels, self._rows, self._starts = self._sort_by_label(labels, num_labels)

    def _squared_norms(self) -> Tensor:
        """Return ||x_n||^2 of the images as the network sees them, (N,) float64, exact up to one division."""
        norms = torch.empty(len(self._pixels), dtype=torch.float64, device=self.device)
        rows = self._rows_at_once(torch.int32, 1)
        for start in range(0, len(norms), rows):
            # x_n = (2 v - 255) / 255: the sum of squares is an integer.
            doubled = self._pixels[start : start + rows].to(torch.int32) * 2 - 255
            norms[start : start + rows] = doubled.square().sum(dim=1, dtype=torch.int64).double() / 255**2
        return norms

    def _sort_by_label(self, labels: Tensor | None, num_labels: int | None) -> tuple[int, Tensor | None, list[int]]:
        if labels is None:
            if num_labels:
                raise MemosweepError(f"num_labels = {num_labels}: give the training images' labels too")
            return 0, None, []
        if labels.shape != (len(self._pixels),) or labels.dtype != torch.int64:
            raise MemosweepError(
                f"labels of shape {list(labels.shape)} and type {labels.dtype}: one torch.int64 for each of "
                f"the {len(self._pixels)} training images is needed"
            )
        labels = labels.to(self.device)
        count = int(labels.max()) + 1 if num_labels is None else num_labels
        check_labels(labels, count)
        sizes = torch.bincount(labels, minlength=count)
        return count, labels.argsort(stable=True), [0, *sizes.cumsum(0).tolist()]

    @torch.inference_mode()
    def __call__(
        self,
        x: Float[Tensor, "n c h w"],
        sigma: Float[Tensor, " n"],
        labels: Int[Tensor, " n"] | None = None,
        /,
    ) -> Float[Tensor, "n c h w"]:
        """Return the posterior mean of the training image under x = image + sigma noise (eq. 32, per class eq. 61).

        Args:
            x: noisy images (N, C, H, W), pixels about [-1, 1].
            sigma: noise levels (N,), > 0.
            labels: (N,) in 0..num_labels-1; None averages over all training images, labeled or not.

        Returns:
            Denoised images (N, C, H, W), float32.

        Raises:
            MemosweepError: images of another shape, a noise level that is not positive, labels for an
                unconditional optimum, or a label that no training image has.
        """
        if tuple(x.shape[1:]) != self.image_shape or sigma.shape != (len(x),):
            raise MemosweepError(
                f"images {list(x.shape)} with noise levels {list(sigma.shape)}: this optimum takes "
                f"(N, {', '.join(map(str, self.image_shape))}) and (N,)"
            )
        if not bool((sigma > 0).all()):
            raise MemosweepError(f"noise level {float(sigma.min())}: must be above 0")
        queries = x.reshape(len(x), -1).to(self.device, torch.float64)
        levels = sigma.to(self.device, torch.float64)
        denoised = torch.empty(queries.shape, dtype=torch.float32, device=self.device)
        for chosen, rows in self._groups(len(x), labels):
            for part in torch.split(chosen, QUERIES_AT_ONCE):
                denoised[part] = self._posterior_mean(queries[part], levels[part], rows).float()
        return denoised.view(x.shape)

    def _groups(self, count: int, labels: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Group queries that share their candidates, with the rows of these; None for all rows."""
        if labels is None:
            yield torch.arange(count, device=self.device), None
            return
        check_labels(labels, self.num_labels)
        assert self._rows is not None
        labels = labels.to(self.device)
        for label in torch.unique(labels).tolist():
            first, last = self._starts[label], self._starts[label + 1]
            if first == last:
                raise MemosweepError(
                    f"label {label}: no training image has it, so that the optimum is undefined (eq. 61)"
                )
            yield (labels == label).nonzero().squeeze(1), self._rows[first:last]

    def _posterior_mean(self, queries: Tensor, levels: Tensor, rows: Tensor | None) -> Tensor:
        """Return the softmax-weighted mean of the images at `rows`, (Q, C x H x W), by streaming log-sum-exp.

        -||x - x_n||^2 / (2 sigma^2) is taken up to a term that all n share, as
        (<x, x_n> - ||x_n||^2 / 2) / sigma^2. Its error is that of the inner product over sigma^2: at small
        noise levels single precision would confuse neighbors, double precision resolves images that differ
        by one gray level in one pixel down to sigma = 1e-5.
        """
        variance = levels.square()[:, None]
        dtype = self._precision(queries, variance)
        queries = queries.to(dtype)
        total = len(self._pixels) if rows is None else len(rows)
        step = self._rows_at_once(dtype, len(queries))
        largest = torch.full((len(queries), 1), -math.inf, dtype=torch.float64, device=self.device)
        weight_sum = torch.zeros_like(largest)
        weighted = torch.zeros(queries.shape, dtype=dtype, device=self.device)
        for start in range(0, total, step):
            chunk: slice | Tensor = slice(start, start + step) if rows is None else rows[start : start + step]
            images = self._pixels[chunk].to(dtype).div_(127.5).sub_(1)
            logits = (queries @ images.T).double().sub_(self._half_norms[chunk]).div_(variance)
            previous, largest = largest, torch.maximum(largest, logits.amax(dim=1, keepdim=True))
            weights = logits.sub_(largest).exp_()
            shrink = (previous - largest).exp()
            weight_sum = weight_sum * shrink + weights.sum(dim=1, keepdim=True)
            weighted.mul_(shrink.to(dtype)).addmm_(weights.to(dtype), images)
        return weighted / weight_sum.to(dtype)

    def _precision(self, queries: Tensor, variance: Tensor) -> torch.dtype:
        """Choose float32, twice as fast, where its rounding of <x, x_n> cannot matter, else float64.

        Accelerators may round products to 10 bits (TF32) where a user allows it, and are fast in float64.
        """
        if self.device.type != "cpu" or torch.get_float32_matmul_precision() != "highest":
            return torch.float64
        largest_norm = math.sqrt(2 * float(self._half_norms.max()))
        rounding = torch.finfo(torch.float32).eps * queries.norm(dim=1, keepdim=True) * largest_norm
        return torch.float32 if float((rounding / variance).max()) < LOGIT_ERROR else torch.float64

    def _rows_at_once(self, dtype: torch.dtype, queries: int) -> int:
        """Return how many training images a chunk takes: they and their logits take about CHUNK_BYTES each."""
        values = max(self._pixels.shape[1], queries)
        return max(1, CHUNK_BYTES // (values * dtype.itemsize))
