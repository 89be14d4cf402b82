"""1.28 million images, as many as ImageNet has: the index takes less than 300 MB, and loading adds little to it."""

import json
import subprocess
import sys
from pathlib import Path

CODE = """
import hashlib, itertools, json, pickle, sys, tracemalloc
from pathlib import Path
import pipeline.data.indexing as module
from pipeline.data.checking import CheckedFile
from pipeline.data.index import DataIndex
from pipeline.data.indexing import build_index
from pipeline.data.listing import Listing, Split
from tests.pipeline.data.conftest import Data

def resident():
    # The peak since the last look; Linux forgets it when told to.
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    Path("/proc/self/clear_refs").write_text("5")
    return int(peak.split()[1]) / 1024

folder, count, per_class = Path(sys.argv[1]), 1_281_167, 1282
numbers = itertools.count()
module.check_files = lambda store, paths, *rest: (
    CheckedFile(hashlib.sha256(next(numbers).to_bytes(8, "big")).digest(), (500, 375)) for _ in range(len(paths))
)
baseline = resident()
train, test = Split([], []), Split([], [])
for number in range(count):
    train.paths.append(f"train/n{number // per_class:08}/n{number // per_class:08}_{number}.JPEG")
    train.labels.append(number // per_class)
for number in range(50_000):
    test.paths.append(f"val/n{number // 50:08}/ILSVRC2012_val_{number:08}.JPEG")
    test.labels.append(number // 50)
found = {"listing": resident() - baseline}
listing = Listing(folder, [f"class {number}" for number in range(1000)], {"train": train, "test": test})
index = build_index(Data(root=str(folder)), listing=listing)
fingerprint = index.fingerprint
index.save(folder)
found["building"] = resident() - baseline
del index, listing, train, test
resident()
before = resident()
index = DataIndex.load(folder)
index.splits["train"].paths[123_456]
found["loading"] = resident() - before
assert index.fingerprint == fingerprint
found["pickled"] = len(pickle.dumps(index)) / 2**20
tracemalloc.start()
again = pickle.loads(pickle.dumps(index))
found["another process"] = tracemalloc.get_traced_memory()[0] / 2**20
del again
tracemalloc.stop()

import torch
from PIL import Image
import pipeline.data.batch_maker as batch_maker
from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.loading import Loader
from tests.pipeline.data.conftest import Augment

class Store:  # any name is the same picture
    def __init__(self):
        self.picture = Image.new("RGB", (500, 375))
    def image(self, path):
        return self.picture
    def examine(self, path):
        number = int(Path(path).stem.rpartition("_")[2]) + (count if path.startswith("val") else 0)
        return hashlib.sha256(number.to_bytes(8, "big")).digest(), self.picture

batch_maker.open_store = lambda *_: Store()
geometry = Geometry(32, 36)
del index, fingerprint
resident()
before = resident()
index = DataIndex.load(folder)
with Loader(index, folder, workers=1) as loader:
    augmentation = Augmentation(Augment(mixup=0.2), geometry, 0)
    batch = None
    for batch in itertools.islice(loader.training_batches(augmentation, 64, 0, 0, drop_last=True), 4):
        assert len(batch.labels) == 64
    list(loader.evaluation_batches("validation", geometry, 64, limit=128))
    found["loader"] = resident() - before
print(json.dumps(found))
"""


def test_an_index_of_imagenets_size_is_small(tmp_path: Path):
    finished = subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], check=False, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    megabytes = json.loads(finished.stdout)
    print(megabytes)
    assert max(megabytes["listing"], megabytes["building"], megabytes["loading"]) < 300
    assert megabytes["pickled"] < 0.01
    assert megabytes["another process"] < 5
    assert megabytes["loader"] < 300  # with the pages of the mapped index; a small data set's takes next to nothing
