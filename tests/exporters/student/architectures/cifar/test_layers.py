import torch

from exporters.student.architectures.cifar.layers import ChannelShuffle


def test_the_shuffle_deals_channels_out() -> None:
    x = torch.arange(12.0).view(1, 12, 1, 1).expand(2, 12, 3, 3)
    shuffled = ChannelShuffle(3)(x)
    assert shuffled.shape == x.shape
    assert shuffled[1, :, 2, 0].tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
