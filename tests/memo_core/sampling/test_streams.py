import torch

from memo_core.sampling import ImageStreams


def test_streams_draw_latents_then_label_then_noise():
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(1, 2, 2, generator=generator)
    label = torch.randint(10, (), generator=generator)
    noise = torch.randn(1, 2, 2, generator=generator, dtype=torch.float64)
    streams = ImageStreams([8, 3])
    assert torch.equal(streams.normal((1, 2, 2))[1], latents)
    assert streams.labels(10)[1] == label
    assert torch.equal(streams.normal((1, 2, 2), torch.float64)[1], noise)
