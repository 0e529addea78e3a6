"""The count from the settings is that of the network itself."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memo_core.errors import MemosweepError
from memo_core.experiment import ModelConfig
from memo_core.experiment.network_size import parameter_count
from memo_core.model import build_network


@settings(max_examples=60, deadline=None)
@given(
    architecture=st.sampled_from(["ddpmpp", "ncsnpp"]),
    width=st.sampled_from([4, 8, 12, 16, 24, 32, 36, 64, 96]),
    depth=st.integers(1, 3),
    multipliers=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    attention=st.sampled_from([None, 0, 8]),
    channels=st.sampled_from([1, 3]),
    num_labels=st.sampled_from([0, 1, 10]),
)
def test_the_count_and_the_refusals_are_those_of_the_network(
    architecture, width, depth, multipliers, attention, channels, num_labels
):
    config = ModelConfig(
        architecture=architecture,
        width=width,
        depth=depth,
        channel_multipliers=tuple(multipliers),
        attention_resolution=attention if attention != 8 or len(multipliers) > 1 else None,
    )
    try:
        with torch.device("meta"):
            expected = sum(value.numel() for value in build_network(config, 16, channels, num_labels).parameters())
    except MemosweepError as error:
        with pytest.raises(MemosweepError) as refusal:
            parameter_count(config, 16, channels, num_labels)
        assert str(refusal.value) == str(error)
    else:
        assert parameter_count(config, 16, channels, num_labels) == expected
