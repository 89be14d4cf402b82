"""What `train` chooses, and the recipe that it writes."""

from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError, UsageError
from exporters.student.architectures.facts import facts_of
from pipeline.recipe import draft as draft_module
from pipeline.recipe.draft import Draft, Wishes, check_draft, counted, draft_recipe, name_of, write_draft
from pipeline.recipe.effects import no_effect_note
from pipeline.recipe.needs import needs_text_embeddings
from pipeline.recipe.reading.load import load_recipe
from pipeline.recipe.schema.recipe import Recipe


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(draft_module, "can_be_fetched", lambda _weights: False)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "my photos"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        (folder / name / "1.jpg").write_bytes(b"")
    return folder


def cache_weights(tmp_path: Path, *models: str) -> None:
    for model in models:
        facts = facts_of(model)
        assert facts is not None and facts.weights is not None
        file = tmp_path / "torch" / "hub" / "checkpoints" / facts.weights.rpartition("/")[2]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"weights")


def written(wishes: Wishes, tmp_path: Path) -> tuple[Recipe, str]:
    draft = draft_recipe("mine", wishes)
    path = tmp_path / "written.yaml"
    path.write_text(draft.text)
    return load_recipe(path).recipe, " | ".join(draft.notes)


def test_without_weights_at_hand_everything_is_from_scratch(photos: Path, tmp_path: Path) -> None:
    recipe, notes = written(Wishes(photos), tmp_path)
    assert (recipe.student.model, recipe.student.weights, recipe.train.epochs) == ("mobilenet_v3_small", "none", 40)
    assert recipe.teacher.visual.fit is not None
    assert (recipe.teacher.visual.model, recipe.teacher.visual.weights) == ("resnet18", "none")
    assert recipe.teacher.visual.fit.epochs == 30 and recipe.data.image_size == 128
    assert recipe.distill.method == "auto" and not needs_text_embeddings(recipe)
    assert "mobilenet_v3_small, from scratch (its published weights are not here and cannot be fetched)" in notes


def test_weights_of_the_cache_are_taken(photos: Path, tmp_path: Path) -> None:
    cache_weights(tmp_path, "mobilenet_v3_small", "resnet34")
    recipe, notes = written(Wishes(photos), tmp_path)
    assert (recipe.student.weights, recipe.train.epochs) == ("imagenet", 12)
    assert (recipe.teacher.visual.model, recipe.teacher.visual.weights) == ("resnet34", "imagenet")
    assert "with its published weights from the local cache" in notes


def test_weights_that_can_be_fetched_are_taken(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft_module, "can_be_fetched", lambda weights: weights is not None)
    recipe, notes = written(Wishes(photos, accelerated=True), tmp_path)
    assert (recipe.student.weights, recipe.teacher.visual.weights) == ("imagenet", "imagenet")
    assert recipe.teacher.visual.model == "resnet50" and recipe.data.image_size == 224
    assert "which are fetched" in notes


def test_wishes_are_followed(photos: Path, tmp_path: Path) -> None:
    wishes = Wishes(photos, student="cifar:resnet20", teacher="timm:resnet18", epochs=5, image_size=48)
    recipe, notes = written(wishes, tmp_path)
    assert (recipe.student.model, recipe.teacher.visual.model) == ("cifar:resnet20", "timm:resnet18")
    assert recipe.teacher.visual.fit is not None
    assert (recipe.train.epochs, recipe.teacher.visual.fit.epochs, recipe.data.image_size) == (5, 5, 48)
    assert recipe.data.root == str(photos) and recipe.name == "mine"
    assert "cifar:resnet20, from scratch (no weights are published for it)" in notes


@pytest.mark.parametrize(("images", "size"), [(90, 16), (330, 32), (600, 32), (700, 64), (None, 64)])
def test_batches_are_small_where_images_are_few(photos: Path, tmp_path: Path, images: int | None, size: int) -> None:
    recipe, notes = written(Wishes(photos, epochs=5, images=images), tmp_path)
    assert recipe.teacher.visual.fit is not None
    assert (recipe.train.batch_size, recipe.teacher.visual.fit.batch_size) == (size, size)
    assert (f"batches of {size} images" in notes) == (size < 64)


def test_training_images_are_those_that_the_splits_leave(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for name in ("cat", "dog"):
        (photos / name).mkdir(parents=True)
        for number in range(50):
            (photos / name / f"{number}.jpg").write_bytes(b"")
    found = counted(Wishes(photos), ())  # a fifth is for testing; of 80, a tenth would be 8 to choose on
    assert (found.images, found.validation) == (56, 0.3)
    found = counted(Wishes(photos), ("data.validation=0.25", "train.epochs=3"))
    assert (found.images, found.validation) == (60, None)
    assert counted(Wishes(photos), ("data.train_images=30",)).images == 30
    assert counted(Wishes(photos), ("data.dataset=birds_demo",)) == Wishes(photos)
    for number in range(50, 350):
        (photos / "cat" / f"{number}.jpg").write_bytes(b"")
    found = counted(Wishes(photos), ())
    assert (found.images, found.validation) == (256, 0.2)


def test_more_is_set_aside_where_images_are_few(photos: Path, tmp_path: Path) -> None:
    recipe, notes = written(Wishes(photos, epochs=5, validation=0.25), tmp_path)
    assert recipe.data.validation == 0.25 and "25 % set aside to choose on" in notes


def test_one_epoch_is_not_many(photos: Path, tmp_path: Path) -> None:
    _, notes = written(Wishes(photos, epochs=1), tmp_path)
    assert notes.count(", 1 epoch |") == 2


@pytest.mark.parametrize("option", ["student", "teacher"])
def test_unknown_network_is_named_with_its_option(photos: Path, option: str) -> None:
    with pytest.raises(UsageError, match=rf"^--{option}: no model named 'resnet-18'") as caught:
        draft_recipe("mine", Wishes(photos, **{option: "resnet-18"}))  # type: ignore[arg-type]
    assert caught.value.remedy is not None and "resnet18" in caught.value.remedy


def labels_of(recipe_of: Wishes, tmp_path: Path) -> str | None:
    return written(recipe_of, tmp_path)[0].data.labels


def test_table_of_labels_is_found_where_folders_are_no_classes(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "images").mkdir(parents=True)
    (photos / "images" / "1.jpg").write_bytes(b"")
    (photos / "notes.csv").write_text("day,weather\n1,rain\n")
    assert labels_of(Wishes(photos), tmp_path) is None
    (photos / "labels.csv").write_text("filename;class\nimages/1.jpg;cat\n")
    assert labels_of(Wishes(photos), tmp_path) == "labels.csv"
    recipe, _ = written(Wishes(photos / "labels.csv"), tmp_path)
    assert (recipe.data.root, recipe.data.labels) == (str(photos), "labels.csv")
    (photos / "more.csv").write_text("path,label\nimages/1.jpg,cat\n")
    with pytest.raises(UsageError, match=r"several tables of labels: labels\.csv, more\.csv"):
        draft_recipe("mine", Wishes(photos))
    assert labels_of(Wishes(photos, labels=True), tmp_path) is None  # --set names it


def test_class_folders_go_before_a_table(photos: Path, tmp_path: Path) -> None:
    (photos / "labels.csv").write_text("path,label\ncat/1.jpg,cat\n")
    recipe, notes = written(Wishes(photos), tmp_path)
    assert recipe.data.labels is None and "labels.csv is not read" in notes


def test_missing_photos_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="nothing does not exist"):
        draft_recipe("mine", Wishes(tmp_path / "nothing"))
    (tmp_path / "cat.jpg").write_bytes(b"")
    with pytest.raises(UnavailableError, match=r"cat\.jpg is neither a folder nor a table of labels"):
        draft_recipe("mine", Wishes(tmp_path / "cat.jpg"))


@pytest.mark.parametrize(
    ("folder", "name"),
    [("My photos (2)", "My-photos-2"), (".hidden", "hidden"), ("…", "photos"), ("birds.v2", "birds.v2")],
)
def test_run_is_called_after_the_folder(folder: str, name: str, tmp_path: Path) -> None:
    assert name_of(tmp_path / folder) == name


def test_odd_paths_are_read_back(tmp_path: Path) -> None:
    photos = tmp_path / "a: 'b' #c \"d\""
    for name in ("cat", "dog"):
        (photos / name).mkdir(parents=True)
    recipe, _ = written(Wishes(photos), tmp_path)
    assert recipe.data.root == str(photos)


def test_mistakes_of_overrides_are_found_before_writing(photos: Path) -> None:
    draft = draft_recipe("mine", Wishes(photos))
    check_draft(draft, ("train.epochs=3",))
    with pytest.raises(UsageError, match=r"--set train\.epoch=3"):
        check_draft(draft, ("train.epoch=3",))


def test_recipe_that_someone_wrote_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    write_draft(Draft("name: one\n", ()), path)
    write_draft(Draft("name: two\n", ()), path)
    assert load_recipe(path).recipe.name == "two"
    for text in (path.read_text().replace("two", "three"), "name: mine\n", ""):
        path.write_text(text)
        with pytest.raises(UsageError, match="has been changed"):
            write_draft(Draft("name: four\n", ()), path)
        assert path.read_text() == text


@pytest.mark.parametrize("method", ["kd", "ce", "tmkd"])
def test_asked_method_is_written_and_named(photos: Path, tmp_path: Path, method: str) -> None:
    recipe, notes = written(Wishes(photos, method=method), tmp_path)
    assert recipe.distill.method == method and not needs_text_embeddings(recipe)
    assert f"method {method}, as asked" in notes and "auto" not in notes
    loaded = load_recipe(tmp_path / "written.yaml")
    assert "distill" not in (no_effect_note(loaded) or "").partition(f"{method}: ")[2]


def test_teacher_of_small_images_keeps_a_feature_map_to_compare(photos: Path, tmp_path: Path) -> None:
    recipe, notes = written(Wishes(photos, image_size=32), tmp_path)
    assert recipe.teacher.visual.model == "cifar:resnet56" and "made for images of 32 pixels" in notes
    recipe, _ = written(Wishes(photos, image_size=33), tmp_path)
    assert recipe.teacher.visual.model == "resnet18"
    recipe, _ = written(Wishes(photos, image_size=32, teacher="resnet18"), tmp_path)
    assert recipe.teacher.visual.model == "resnet18"
