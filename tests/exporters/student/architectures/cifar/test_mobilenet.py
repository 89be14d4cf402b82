import torch
from torch import nn
from torchvision import models

from tests.exporters.conftest import randomise
from tests.exporters.student.architectures.cifar.networks import copy_in_order, make


@torch.no_grad()
def test_mobilenet_v2_is_that_of_torchvision_with_one_more_expansion() -> None:
    ours = randomise(make("mobilenet_v2", 10), 1)
    setting = [
        [1, 16, 1, 1],
        [6, 24, 2, 1],
        [6, 32, 3, 2],
        [6, 64, 4, 2],
        [6, 96, 3, 1],
        [6, 160, 3, 2],
        [6, 320, 1, 1],
    ]
    theirs = models.mobilenet_v2(
        weights=None, num_classes=10, width_mult=0.5, inverted_residual_setting=setting, round_nearest=1
    ).eval()
    first = ours.features[3].branch
    nn.init.dirac_(first[0].weight)  # an expansion that changes nothing, as torchvision leaves it out
    first[1].reset_parameters()
    first[1].eps = 0.0
    kept = nn.ModuleList([ours.features[:3], first[3:], ours.features[4:], ours.linear])
    copy_in_order(kept, theirs)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
