import torch
from torch import nn
from torchvision import models

from tests.exporters.conftest import randomise
from tests.exporters.student.architectures.cifar.networks import copy_in_order, make


@torch.no_grad()
def test_vgg13_is_that_of_torchvision_without_its_last_pools() -> None:
    ours = randomise(make("vgg13", 10), 1)
    theirs = models.vgg13_bn(weights=None).features
    pools = [index for index, part in enumerate(theirs) if isinstance(part, nn.MaxPool2d)]
    theirs = nn.Sequential(*(part for index, part in enumerate(theirs) if index not in pools[3:])).eval()
    copy_in_order(ours.features, theirs)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours.forward_features(x), theirs(x), rtol=1e-4, atol=1e-5)
