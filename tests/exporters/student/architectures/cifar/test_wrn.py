import torch
import torch.nn.functional as F

from exporters.student.architectures.cifar.wrn import PreActivationBlock
from tests.exporters.conftest import randomise


@torch.no_grad()
def test_pre_activation_passes_the_input_or_projects_its_activation() -> None:
    x = torch.randn(2, 3, 6, 6)
    for out_channels, stride in ((3, 1), (5, 1), (3, 2)):
        block = randomise(PreActivationBlock(3, out_channels, stride), 1)
        activated = F.relu(block.bn1(x))
        branch = block.conv2(F.relu(block.bn2(block.conv1(activated))))
        beside = x if (out_channels, stride) == (3, 1) else block.shortcut(activated)
        torch.testing.assert_close(block(x), branch + beside)
        block.conv2.weight.zero_()
        torch.testing.assert_close(block(x), beside)
