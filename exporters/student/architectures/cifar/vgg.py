"""VGG networks for 32-pixel images.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (ICLR 2015), table 1: 3x3
convolutions with bias in five groups of 64, 128, 256, 512 and 512 channels. As the distillation literature has them
(Tian et al., ICLR 2020): batch norm after each convolution; 2x2 max pooling after the first three groups alone; one
linear layer on the pooled map in place of three. `vgg13` is configuration B with two convolutions a group, `vgg8` has
one.
"""

from torch import nn

from exporters.student.architectures.cifar.layers import PooledClassifier

_CONVOLUTIONS = {"vgg8": 1, "vgg13": 2}


def build_vgg(name: str, classes: int) -> PooledClassifier:
    """Build `vgg8` or `vgg13`; the last map has an eighth of the image's side."""
    features = nn.Sequential()
    channels = 3
    for index, width in enumerate((64, 128, 256, 512, 512)):
        for _ in range(_CONVOLUTIONS[name]):
            features.extend([nn.Conv2d(channels, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU()])
            channels = width
        if index < 3:
            features.append(nn.MaxPool2d(2))
    return PooledClassifier(features, channels, classes)
