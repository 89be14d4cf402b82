import torch
import torch.nn.functional as F
from torch import nn
from torchvision import models

from exporters.student.architectures.cifar.shufflenet import GroupedUnit
from tests.exporters.conftest import randomise
from tests.exporters.student.architectures.cifar.networks import copy_in_order, make


@torch.no_grad()
def test_grouped_unit_adds_or_appends() -> None:
    x = torch.randn(2, 24, 6, 6)
    for out_channels, stride in ((24, 1), (48, 2)):
        unit = GroupedUnit(24, out_channels, stride, groups=3).eval()
        branch = unit.branch(x)
        expected = x + branch if stride == 1 else torch.cat((F.avg_pool2d(x, 3, 2, 1), branch), 1)
        assert unit(x).shape == (2, out_channels, 6 // stride, 6 // stride)
        torch.testing.assert_close(unit(x), expected.relu())
        assert not isinstance(unit.branch[-1], nn.ReLU)


@torch.no_grad()
def test_shufflenet_v2_is_that_of_torchvision_behind_another_stem() -> None:
    ours = randomise(make("shufflenet_v2", 10), 1)
    theirs = models.shufflenet_v2_x1_0(weights=None, num_classes=10)
    theirs.conv1[0] = nn.Conv2d(3, 24, 1, bias=False)
    theirs.maxpool = nn.Identity()
    theirs.eval()
    units = [unit for stage in (theirs.stage2, theirs.stage3, theirs.stage4) for unit in stage]
    copy_in_order(ours.features[:2], theirs.conv1[:2])
    copy_in_order(ours.features[-3:], theirs.conv5)
    copy_in_order(ours.linear, theirs.fc)
    for mine, other in zip(ours.features[3:-3], units, strict=True):
        copy_in_order(mine.branch, other.branch2)
        copy_in_order(mine.beside, other.branch1)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
