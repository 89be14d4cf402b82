"""The bundle of the exporters' tests, for the examples that use one."""

from tests.exporters.conftest import cifar, contents, packed

__all__ = ["cifar", "contents", "packed"]
