"""The bundle of the exporters' tests, for the examples that use one."""

from tests.exporters.conftest import cifar, contents, contents_with_cam, packed, packed_with_cam

__all__ = ["cifar", "contents", "contents_with_cam", "packed", "packed_with_cam"]
