import os
import signal
import subprocess
import sys
import time

import pytest
from torch import distributed

from pipeline.distributed.group import Group, LostProcessError, _is_loss, as_lost_process, current_group
from pipeline.distributed.ranks import Rank

DEAF = """
import os, signal, sys, time
from exporters.core.interrupts import raise_on_termination
import pipeline.distributed.group as group
group.GRACE = 0.5
raise_on_termination()
group._end_when_told()
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
signal.signal(signal.SIGTERM, lambda *_: None)
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


def test_followers_hear_of_each_message_once_and_of_the_end():
    store = distributed.HashStore()
    leader, follower = Group(Rank(0, 2), store), Group(Rank(1, 2), store)
    leader.calls, follower.calls = 4, 4
    store.set("call 5", "message")
    assert follower.receive() is None  # without a group, nothing is exchanged
    leader.calls = 5
    leader.dismiss()
    assert store.get("call 6") == b"end"
    assert follower.receive() is None
    assert (follower.calls, follower.failed) == (6, False)
    leader.dismiss(failed=True)
    assert follower.receive() is None
    assert follower.failed


def test_no_group_outside_of_a_training():
    assert current_group() is None


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:4242"), True),
        (distributed.DistBackendError("NCCL communicator was aborted"), True),
        (RuntimeError("shape '[2]' is invalid"), False),
        (ValueError("gloo"), False),
    ],
)
def test_the_loss_of_another_process_is_told_from_other_errors(error: Exception, lost: bool):
    assert _is_loss(error) is lost
    outer = KeyError("outer")
    outer.__context__ = error
    assert _is_loss(outer) is lost


def test_what_gloo_says_of_a_lost_process_is_said_in_words_and_once():
    other = ValueError("gloo")
    assert as_lost_process(other, Rank(0, 2)) is other
    lost = as_lost_process(RuntimeError("[gloo/transport/tcp/pair.cc:534] Read error"), Rank(0, 2))
    assert isinstance(lost, LostProcessError)
    assert str(lost).splitlines()[0] == "process 1 of 2 lost another one, which was ended or failed"
    lost.__cause__ = RuntimeError("gloo")
    assert as_lost_process(lost, Rank(0, 2)) is lost


def test_a_process_that_does_not_hear_the_signal_ends_nevertheless():
    process = subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    assert process.wait(1) == 128 + signal.SIGTERM
    process.stdout.close()
