"""Stage `text`: the text teacher, and its embedding of every class in every view (line 4)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from exporters.core.files import read_json, sha256_file, write_bytes, write_json
from pipeline.class_names.words import class_words
from pipeline.recipe.needs import has_views, needs_text_embeddings
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import Stage, StageContext, settings
from pipeline.stages.shared.file_identity import class_names_digest, described_file, weights_file
from pipeline.stages.shared.inputs import IMAGE_KEYS, TRAINING_LIBRARIES, Data, read_data
from pipeline.stages.shared.networks import resized_preprocessing
from pipeline.stages.shared.teacher_runtime import is_sharded
from pipeline.stages.shared.teachers import make_fitted_views, make_views
from pipeline.stages.shared.text_tower import FOLDER, SECTION, build_text_tower, read_text_tower, require_features
from pipeline.stages.shared.zero_shot import measure_zero_shot

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor

    from pipeline.data.feature_batches import FeatureLoader
    from pipeline.data.loading import Loader
    from pipeline.models.clip import Clip
    from pipeline.models.tapped import TappedNetwork
    from pipeline.tmkd.class_texts import ClassTexts
    from pipeline.tmkd.text_fit import TextFit
    from pipeline.tmkd.tower_fit import TowerFit
    from pipeline.tmkd.views.views import Views

_MIXING = frozenset({"data.augment.mixup", "data.augment.cutmix", "data.augment.mix_probability"})


class _TextTeacher(NamedTuple):
    """A text teacher that can look at images.

    Attributes:
        reads: its text tower, on the device; None where class embeddings come from a file.
        looks: its image tower, frozen; on the device, or on the CPU where it will be sharded.
        embeddings: `[V, K, D]`, of the classes in each view, on the device.
        report: of its model and weights, as JSON values.
    """

    reads: "Clip | None"
    looks: "Clip"
    embeddings: "Tensor"
    report: dict[str, Any]


class TextStage(Stage):
    """Writes `text/embeddings.safetensors`, `text/report.json` and, with a fit, `text/clip.safetensors`.

    With a tower that is not the visual teacher, it is in `text/tower`.
    """

    name = "text"
    libraries = (*TRAINING_LIBRARIES, "open_clip_torch", "safetensors")
    shared = True

    def skipped(self, recipe: Recipe) -> str | None:
        """Only the weights of views and the contrast ask for text."""
        return None if needs_text_embeddings(recipe) else "neither the views' weights nor a contrast asks for text"

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """The index, and the visual teacher where it is the tower."""
        tower = recipe.teacher.text.tower
        return ("data", "teacher") if tower is not None and tower.is_teacher else ("data",)

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """Model, prompts and views; with a fit, all that it depends on. Its seed is the split's: seeds share it."""
        text = recipe.teacher.text
        keys = ["weights", "class_names", *(("model", "prompts") if text.has_text_tower or text.tower is None else ())]
        keys = [f"teacher.text.{key}" for key in keys]
        if not text.has_image_tower:  # the same texts for each view, whatever it shows
            return settings(recipe, *keys) | {"distill.views": len(recipe.distill.possible_views)}
        keys += ["distill.views", "data.split_seed"]
        if text.weights == "fit":
            keys += ["teacher.text.fit", "teacher.text.tower", "train.precision", *IMAGE_KEYS]
            # A tower looks at each image once, as it is.
            keys += ["data.augment", "data.decode"] if text.tower is None else ["teacher.visual.classifier"]
        # The contrast takes one label of each image, so that this fit mixes none.
        return {key: value for key, value in settings(recipe, *keys).items() if key not in _MIXING}

    def files(self, recipe: Recipe) -> Mapping[str, str]:
        """Prompts, class names, model description and weights, as far as they are files: what they say, of weights
        the bytes.
        """
        from pipeline.catalog import configs_directory
        from pipeline.tmkd.prompts import Prompts

        text, configs = recipe.teacher.text, configs_directory()
        found = weights_file(text.weights, text.sha256, "teacher.text")
        if text.has_text_tower:
            for path in (Path(text.prompts), configs / "prompts" / f"{text.prompts}.yaml"):
                found |= described_file(path, lambda path: dict(Prompts.load(str(path)).views))
            for path in (Path(text.model).expanduser(), configs / "clip" / f"{text.model}.json"):
                found |= described_file(path, read_json)
        if text.tower is not None:
            found |= weights_file(text.tower.weights, text.tower.sha256, SECTION) | weights_file(text.anchors or "")
        return found | class_names_digest(recipe)

    def run(self, context: StageContext) -> dict[str, Any]:
        """Load or fit, embed the classes, measure zero-shot accuracy per view, save."""
        from safetensors.torch import save

        from pipeline.stages.shared.training import discard_checkpoint
        from pipeline.tmkd.prompts import encode_random_prompts
        from pipeline.training.device import describe_device, make_fabric

        recipe, text = context.recipe, context.recipe.teacher.text
        data, folder = read_data(context), self.folder(context)
        classes = data.index.classes
        words = class_words(text.class_names, classes)
        named = dict(zip(classes, words, strict=True))
        views = make_views(recipe)
        if not text.has_image_tower:
            if not context.leads:
                return {}
            embeddings = _read_classes(text.weights, classes, words)
            stacked = embeddings.expand(len(views), -1, -1).contiguous()
            write_bytes(folder / "embeddings.safetensors", save({"text": stacked}))
            path = Path(text.weights).expanduser()
            source = {"source": path.name, "weights_sha256": sha256_file(path)}
            write_json(folder / "report.json", source | {"class_names": named, "zero_shot": None})
            return {"source": path.name}

        fabric = make_fabric(recipe.device, recipe.train.precision)
        make = self._load if text.weights != "fit" else self._fit if text.tower is None else self._fit_tower
        reads, looks, embeddings, report = make(context, data, words, fabric)
        tensors = {"text": embeddings}
        if reads is not None:
            # The control of line 5 lies beside them, so that a change of the weighting makes no new text teacher.
            tensors["random"] = encode_random_prompts(
                reads.encode_text, recipe.data.split_seed, len(classes), views.names
            )
        del reads  # its memory is free for the images
        zero_shot = measure_zero_shot(context, data, looks, embeddings, fabric)
        if not context.leads:
            return {}
        saved = save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
        write_bytes(folder / "embeddings.safetensors", saved)
        write_json(folder / "report.json", report | {"class_names": named, "zero_shot": zero_shot})
        discard_checkpoint(context, self.name)
        return {"zero_shot": zero_shot, "device": describe_device(fabric)}

    def _load(self, context: StageContext, data: Data, words: Sequence[str], fabric: "Fabric") -> _TextTeacher:
        """A pretrained CLIP."""
        from pipeline.models.clip import fetched_sha256, image_part, load_clip, text_part

        text = context.recipe.teacher.text
        with context.console.track(f"loading {text.model}", None):
            clip = load_clip(text.model, text.weights)
            reads, looks = text_part(clip).to(fabric.device), image_part(clip)
            looks = looks if is_sharded(text) else looks.to(fabric.device)
        report = {"weights_sha256": fetched_sha256(text.model, text.weights), "stopped_early": False}
        return self._with_prompts(context, reads, looks, words, report)

    def _fit(self, context: StageContext, data: Data, words: Sequence[str], fabric: "Fabric") -> _TextTeacher:
        """A small CLIP, trained from scratch."""
        from pipeline.models.clip import build_clip, image_part, text_part
        from pipeline.tmkd.prompts import Prompts
        from pipeline.tmkd.text_fit import TextFit

        recipe, text = context.recipe, context.recipe.teacher.text
        # The fit belongs to the data, like the split: the seeds of a comparison share it.
        seed = recipe.data.split_seed
        clip = build_clip(text.model, seed).to(fabric.device)
        task = TextFit(clip, Prompts.load(text.prompts), _fitted_views(recipe), words, seed)
        report = {"weights_sha256": None, "stopped_early": self._train(context, data, task, data.loader, fabric)}
        return self._with_prompts(context, text_part(clip), image_part(clip), words, report)

    def _fit_tower(self, context: StageContext, data: Data, words: Sequence[str], fabric: "Fabric") -> _TextTeacher:
        """Another network's features, with a projection into the text space that is trained."""
        from pipeline.data.feature_batches import FeatureLoader
        from pipeline.models.clip import image_part, text_part
        from pipeline.models.clip_tower import TowerClip, build_projected_clip
        from pipeline.tmkd.class_texts import AnchorTexts, PromptTexts
        from pipeline.tmkd.prompts import Prompts
        from pipeline.tmkd.tower_fit import TowerFit

        recipe, text = context.recipe, context.recipe.teacher.text
        seed, views = recipe.data.split_seed, _fitted_views(recipe)
        tower, report = self._tower(context, data)
        tower = tower.to(fabric.device).eval().requires_grad_(False)
        channels, classes = tower.shape.channels, data.index.classes
        texts: ClassTexts
        if text.anchors is not None:
            anchors = _read_classes(text.anchors, classes, words).to(fabric.device)
            clip = build_projected_clip(None, channels, seed, anchors.shape[1]).to(fabric.device)
            texts = AnchorTexts(anchors, len(views))
        else:
            clip = build_projected_clip(text.model, channels, seed).to(fabric.device)
            texts = PromptTexts(clip, Prompts.load(text.prompts), views, words, seed)
        features = FeatureLoader(data.loader, data.geometry, views, lambda images: tower(images).pooled, fabric.device)
        count = len(data.index.splits["train"])
        if features.images < count:
            context.console.say(
                f"text teacher: fitted on {features.images:,} of {count:,} training images, as many as are kept"
            )
        stopped_early = self._train(context, data, TowerFit(clip, texts, views, seed), features, fabric)
        report |= {"fitted_on_images": features.images, "stopped_early": stopped_early}
        whole = TowerClip(clip, tower).to(fabric.device)
        if text.anchors is None:
            return self._with_prompts(context, text_part(whole), image_part(whole), words, report)
        report |= {"source": f"{Path(text.anchors).name} {text.weights}", "prompts": None}
        return _TextTeacher(None, whole.eval().requires_grad_(False), texts.embeddings(make_views(recipe)), report)

    def _tower(self, context: StageContext, data: Data) -> "tuple[TappedNetwork, dict[str, Any]]":
        """The tower on the CPU, and what the report says of it; saved where it is not the visual teacher."""
        from exporters.student.student import save_student

        recipe, tower = context.recipe, context.recipe.teacher.text.tower
        assert tower is not None
        if tower.is_teacher:
            found = read_text_tower(recipe, context.run)
            require_features(found)
            return found, {"weights_sha256": None, "tower": {"model": tower.model}}
        with context.console.track(f"loading {tower.model}", None):
            model = build_text_tower(recipe, len(data.index.classes))
        for note in model.notes:
            context.console.say(note)
        preprocessing = resized_preprocessing(recipe, model.tapped.image_size, model.mean, model.std)
        if context.leads:
            folder = self.folder(context) / FOLDER
            folder.mkdir(exist_ok=True)
            network = model.tapped.network
            save_student(network, model.architecture, data.index.classes, preprocessing, folder, name=tower.model)
        assert model.weights is not None
        described = {"model": tower.model, "weights": model.weights.source, "mean": model.mean, "std": model.std}
        return model.tapped, {"weights_sha256": model.weights.sha256, "tower": described}

    def _train(
        self,
        context: StageContext,
        data: Data,
        task: "TextFit | TowerFit",
        loader: "Loader | FeatureLoader",
        fabric: "Fabric",
    ) -> bool:
        """Train a CLIP, leave it as the chosen epoch had it, save it; gives whether training stopped early."""
        from safetensors.torch import save

        from pipeline.stages.shared.training import train
        from pipeline.training.step import Training

        recipe = context.recipe
        training = Training(
            name="text teacher",
            task=task,
            loader=loader,
            augmentation=data.augmentation(recipe, recipe.data.split_seed).without_mixing(),
            settings=recipe.teacher.text.fit,
            seed=recipe.data.split_seed,
        )
        fitted = train(context, self.name, training, fabric)
        task.load_state_dict(fitted.chosen_state)
        state = {key: value.detach().cpu().contiguous() for key, value in task.clip.model.state_dict().items()}
        if context.leads:
            write_bytes(self.folder(context) / "clip.safetensors", save(state))
        return fitted.stopped_early

    def _with_prompts(
        self, context: StageContext, reads: "Clip", looks: "Clip", words: Sequence[str], report: dict[str, Any]
    ) -> _TextTeacher:
        """The text teacher with the embeddings of its prompts."""
        from pipeline.tmkd.prompts import Prompts, encode_prompts

        text = context.recipe.teacher.text
        for part in (reads, looks):
            part.eval().requires_grad_(False)
        with context.console.track("encoding prompts", None):
            kinds = make_views(context.recipe).kinds
            embeddings = encode_prompts(reads.encode_text, Prompts.load(text.prompts), words, kinds)
        report = {"source": f"{text.model} {text.weights}", "prompts": text.prompts} | report
        return _TextTeacher(reads, looks, embeddings, report)


def _fitted_views(recipe: Recipe) -> "Views":
    """The views that a fit shows: some of each domain where the recipe leaves open which will be used."""
    return make_fitted_views(recipe) if has_views(recipe) else make_views(recipe)


def _read_classes(file: str, classes: Sequence[str], words: Sequence[str]) -> "Tensor":
    """Embeddings `[K, D]` of the classes from a file."""
    from pipeline.models.embeddings import read_embeddings

    return read_embeddings(Path(file).expanduser(), classes, words)
