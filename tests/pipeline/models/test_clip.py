import argparse
import copy
import json
import logging
import math
import os
from pathlib import Path
from urllib.error import URLError

import numpy as np
import open_clip.factory
import open_clip.pretrained
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

from exporters.core.errors import TmkdError, UnavailableError, UsageError
from exporters.core.files import sha256_file
from pipeline.models.clip import (
    Clip,
    build_clip,
    embedding_width,
    fetched_sha256,
    image_part,
    is_checkpoint,
    load_clip,
    text_part,
)
from tests.pipeline.models.small_clip import DESCRIPTION, small_clip, write_description

TEXTS = ["a photo of a red-crested striped finch.", "a sketch of a teal.", ""]


@pytest.fixture(scope="module")
def tiny() -> Clip:
    return build_clip("tiny").eval()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return small_clip(tmp_path_factory.mktemp("clip")).eval()


def same(one: Clip, two: Clip) -> bool:
    left, right = one.state_dict(), two.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def test_the_tiny_model_encodes_to_unit_length(tiny: Clip):
    width = json.loads((Path(__file__).parents[3] / "configs" / "clip" / "tiny.json").read_text())["embed_dim"]
    texts = tiny.encode_text(TEXTS)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        mixed = tiny.encode_image(torch.rand(2, 3, tiny.size, tiny.size))
    with torch.no_grad():
        images = tiny.encode_image(torch.rand(2, 3, tiny.size, tiny.size))
    for embeddings, count in ((texts, 3), (images, 2), (mixed, 2)):
        assert embeddings.shape == (count, width)
        assert embeddings.dtype == torch.float32
        assert not embeddings.requires_grad
        torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(count))
    assert not torch.allclose(texts[0], texts[1])


def test_parts_look_and_read_as_the_whole_does_and_hold_nothing_of_each_other(small: Clip):
    looks, reads, shown = image_part(small), text_part(small), torch.rand(2, 3, 20, 20)
    assert torch.equal(looks.encode_image(shown), small.encode_image(shown))
    assert torch.equal(reads.encode_text(TEXTS), small.encode_text(TEXTS))
    assert looks.temperature == reads.temperature == small.temperature
    names = {part: {name for name, _ in part.model.named_parameters()} for part in (looks, reads, small)}
    assert names[looks] & names[reads] == {"logit_scale"} and names[looks] | names[reads] == names[small]
    assert {name.partition(".")[0] for name in names[looks]} == {"visual", "logit_scale"}
    assert all(part.model.logit_scale is small.model.logit_scale for part in (looks, reads))  # shared, not copied


def test_parts_may_be_on_two_devices(small: Clip):
    whole = copy.deepcopy(small)
    looks, reads = image_part(whole), text_part(whole).to("meta")
    assert reads.encode_text(TEXTS).device.type == "meta"
    assert looks.encode_image(torch.rand(1, 3, 16, 16)).device.type == "cpu"


def test_copy_reads_texts_alike_and_holds_no_second_vocabulary(small: Clip):
    copied = copy.deepcopy(small)
    assert copied._tokenizer is small._tokenizer and copied.model is not small.model
    assert torch.equal(copied.tokenize(TEXTS), small.tokenize(TEXTS))


def test_each_description_of_one_name_has_its_own_tokenizer(tmp_path: Path):
    lengths = []
    for length in (9, 12):
        text = DESCRIPTION["text_cfg"] | {"context_length": length}
        clip = tmp_path / f"{length}" / "same.json"
        clip.parent.mkdir()
        clip.write_text(json.dumps(DESCRIPTION | {"text_cfg": text}))
        lengths.append(build_clip(str(clip)).tokenize(TEXTS).shape[1])
    assert lengths == [9, 12]


def test_encoding_text_is_encoding_its_tokens(small: Clip):
    tokens = small.tokenize(TEXTS)
    assert tokens.dtype == torch.int64
    assert tokens.shape == (3, DESCRIPTION["text_cfg"]["context_length"])
    with torch.no_grad():
        expected = small.model.encode_text(tokens).double().numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(small.encode_text(TEXTS).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert small.encode_tokens(tokens).requires_grad


def test_images_are_normalised_as_the_model_was_trained(small: Clip):
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    )
    expected = F.normalize(small.model.encode_image((images - mean) / std), dim=-1)
    torch.testing.assert_close(small.encode_image(images), expected)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 40), (8, 8)])
def test_images_of_another_size_are_resized_as_pillow_does(small: Clip, height: int, width: int):
    pixels = np.random.default_rng(1).random((height, width, 3)).astype(np.float32)
    bands = [
        Image.fromarray(np.ascontiguousarray(pixels[..., band])).resize((16, 16), Image.Resampling.BICUBIC)
        for band in range(3)
    ]
    resized = torch.from_numpy(np.stack([np.asarray(band) for band in bands])).clamp(0, 1)[None]
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    kept = images.clone()
    with torch.no_grad():
        found = small.encode_image(images)
        torch.testing.assert_close(found, small.encode_image(resized), rtol=1e-3, atol=1e-3)
    assert torch.equal(images, kept)


def test_the_temperature_has_a_floor(tmp_path: Path):
    clip = small_clip(tmp_path)
    torch.testing.assert_close(clip.temperature.detach(), torch.tensor(0.07), rtol=1e-4, atol=0)  # CLIP's own beginning
    clip.model.logit_scale.data.fill_(3.0)
    torch.testing.assert_close(clip.temperature.detach(), torch.tensor(3.0).neg().exp())
    clip.temperature.backward()
    assert clip.model.logit_scale.grad is not None
    clip.model.logit_scale.data.fill_(9.0)
    torch.testing.assert_close(clip.temperature.detach(), torch.tensor(0.01), rtol=1e-4, atol=0)


def test_the_initialisation_follows_from_the_seed_alone(tmp_path: Path):
    first = small_clip(tmp_path, seed=3)
    torch.rand(5)
    state = torch.get_rng_state()
    assert same(small_clip(tmp_path, seed=3), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not same(small_clip(tmp_path, seed=4), first)


def test_building_clip_leaves_logging_unchanged(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    root = logging.getLogger()
    before = root.level, list(root.handlers), root.manager.disable
    small_clip(tmp_path)
    assert (root.level, list(root.handlers), root.manager.disable) == before
    assert capfd.readouterr() == ("", "")


def test_the_normalisation_is_no_part_of_the_state(small: Clip):
    assert all(key.startswith("model.") for key in small.state_dict())


@pytest.mark.parametrize("form", ["net.pt", "net.pth", "net.bin", "net.safetensors", "wrapped.pt", "wrapped.pth.tar"])
def test_local_checkpoint_is_loaded(form: str, tmp_path: Path):
    clip = small_clip(tmp_path, seed=5)
    state = {key: value.contiguous() for key, value in clip.model.state_dict().items()}
    path = tmp_path / form
    if form.endswith(".safetensors"):
        save_file(state, path)
    elif form.startswith("wrapped"):
        arguments = argparse.Namespace(model="tiny", logs=Path("logs"))
        wrapped = {f"module.{key}": value for key, value in state.items()}
        torch.save({"epoch": 3, "state_dict": wrapped, "args": arguments, "best": np.float64(0.5)}, path)
    else:
        torch.save(state, path)
    assert is_checkpoint(str(path))
    assert fetched_sha256("any", str(path)) == sha256_file(path)
    assert same(load_clip(str(write_description(tmp_path)), str(path)), clip)


def test_downloaded_weights_of_a_tag_are_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "cached").write_bytes(b"what was fetched")
    asked: list[dict] = []
    monkeypatch.setattr(
        open_clip.pretrained, "download_pretrained", lambda config: asked.append(config) or str(tmp_path / "cached")
    )
    assert fetched_sha256("ViT-B-32", "laion2b_s34b_b79k") == sha256_file(tmp_path / "cached")
    assert asked[0]["hf_hub"] == "laion/CLIP-ViT-B-32-laion2B-s34B-b79K/"


def test_tiny_model_is_loaded_from_a_checkpoint(tiny: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(tiny.model.state_dict(), tmp_path / "tiny.pt")
    loaded = load_clip("tiny", "~/tiny.pt")
    assert same(loaded, tiny)
    assert (loaded.size, loaded.mean.tolist()) == (tiny.size, tiny.mean.tolist())


class Planted:
    """Unpickling it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def refusal(model: str, weights: str, error: type[TmkdError], exit_code: int) -> str:
    with pytest.raises(error) as caught:
        load_clip(model, weights)
    assert caught.value.exit_code == exit_code
    assert "\n" not in caught.value.message
    return str(caught.value)


def test_a_checkpoint_with_an_object_is_refused_and_never_run(tmp_path: Path):
    clip = small_clip(tmp_path)
    path, trace = tmp_path / "net.pt", tmp_path / "trace"
    torch.save({"state_dict": clip.model.state_dict(), "hook": Planted(trace)}, path)
    message = refusal(str(write_description(tmp_path)), str(path), UnavailableError, 4)
    assert "objects that are no tensors" in message
    assert "weights_only" not in message
    assert not trace.exists()


@pytest.mark.parametrize("content", ["another model", "text", "nothing"])
def test_unfitting_checkpoint_is_refused(content: str, tmp_path: Path):
    path = tmp_path / "net.pt"
    if content == "another model":
        torch.save({"weight": torch.zeros(3)}, path)
    elif content == "text":
        path.write_text("no checkpoint")
    else:
        torch.save({}, path)
    message = refusal(str(write_description(tmp_path)), str(path), UnavailableError, 4)
    assert "net.pt" in message
    assert "teacher.text.weights" in message


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_checkpoint_with_values_that_are_not_finite_is_refused(bad: float, tmp_path: Path):
    state = small_clip(tmp_path).model.state_dict()
    state["text_projection"][0, 0] = bad
    torch.save(state, tmp_path / "net.pt")
    message = refusal(str(write_description(tmp_path)), str(tmp_path / "net.pt"), UnavailableError, 4)
    assert message.startswith("teacher.text.weights: ") and "NaN or infinite: text_projection\n" in message


def test_missing_checkpoint_is_refused():
    assert "no such file: absent.pt" in refusal("tiny", "absent.pt", UnavailableError, 4)


def test_unknown_tag_is_refused():
    message = refusal("ViT-B-32", "laion3b", UsageError, 2)
    assert "'laion3b'" in message
    assert "laion2b_s34b_b79k" in message
    assert "it has none" in refusal("tiny", "openai", UsageError, 2)


def test_tag_without_internet_is_refused(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    def offline(*_arguments: object, **_settings: object) -> str:
        raise URLError("no route to host")

    monkeypatch.setattr(open_clip.factory, "download_pretrained", offline)
    message = refusal("ViT-B-32", "laion2b_s34b_b79k", UnavailableError, 4)
    assert "no route to host" in message
    assert "teacher.text.weights: FILE.pt" in message
    assert "teacher.text.model=tiny" in message
    assert capfd.readouterr() == ("", "")  # the message is the error's to tell


def test_unknown_model_is_refused():
    with pytest.raises(UsageError, match="knows no model 'ViT-B-31'") as caught:
        build_clip("ViT-B-31")
    assert "tiny" in str(caught.value.remedy)
    with pytest.raises(UnavailableError, match=r"no such file: absent\.json"):
        build_clip("absent.json")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "\x00",
        "[]",
        "3",
        json.dumps({key: value for key, value in DESCRIPTION.items() if key != "text_cfg"}),
        json.dumps(DESCRIPTION | {"vision_cfg": {"timm_model_name": "no_such_net", "image_size": 16}}),
        json.dumps(DESCRIPTION | {"text_cfg": {"wide": 3}}),
        json.dumps(DESCRIPTION | {"vision_cfg": 3}),
    ],
)
def test_invalid_model_description_is_refused(content: str, tmp_path: Path):
    path = tmp_path / "described.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"^teacher\.text\.model: .*described\.json") as caught:
        build_clip(str(path))
    assert "\n" not in caught.value.message
    small_clip(tmp_path)  # a bad description does not stand in the way of a good one


def test_description_file_named_like_a_known_model_is_read(tmp_path: Path):
    path = tmp_path / "ViT-B-32.json"
    path.write_text("{}")
    with pytest.raises(UsageError, match="is no open_clip model"):
        build_clip(str(path))


def test_width_of_embeddings_is_read_from_the_description(tmp_path: Path) -> None:
    for model in ("tiny", str(write_description(tmp_path))):
        assert embedding_width(model) == build_clip(model).encode_text(["a"]).shape[1]
    assert embedding_width("ViT-B-32") == 512 and embedding_width("ViT-L-14") == 768
    with pytest.raises(UnavailableError):
        embedding_width(str(tmp_path / "gone.json"))
