"""Stage `text`: the text teacher, and its embedding of every class in every view (line 4)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.core.files import sha256_file, write_bytes, write_json
from pipeline.class_names.words import class_words
from pipeline.recipe.needs import has_views, needs_text_embeddings
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import Stage, StageContext, settings
from pipeline.stages.shared.inputs import (
    IMAGE_KEYS,
    TRAINING_LIBRARIES,
    Data,
    class_names_digest,
    make_fitted_views,
    make_views,
    read_data,
    weights_file,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor

    from pipeline.models.clip import Clip
    from pipeline.tmkd.prompts import Prompts
    from pipeline.tmkd.views.views import Views

_MIXING = frozenset({"data.augment.mixup", "data.augment.cutmix", "data.augment.mix_probability"})


class TextStage(Stage):
    """Writes `text/embeddings.safetensors`, `text/report.json` and, with a fit, `text/clip.safetensors`."""

    name = "text"
    libraries = (*TRAINING_LIBRARIES, "open_clip_torch", "safetensors")

    def skipped(self, recipe: Recipe) -> str | None:
        """Only the weights of views and the contrast ask for text."""
        return None if needs_text_embeddings(recipe) else "neither the views' weights nor a contrast asks for text"

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """The index."""
        return ("data",)

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """Model, prompts and views; with a fit, all that it depends on. Its seed is the split's: seeds share it."""
        keys = [f"teacher.text.{key}" for key in ("model", "weights", "prompts", "class_names")]
        keys += ["distill.views", "data.split_seed"]
        if recipe.teacher.text.weights == "fit":
            keys += ["teacher.text.fit", "data.augment", "train.precision", *IMAGE_KEYS]
        # The contrast takes one label of each image, so that this fit mixes none.
        return {key: value for key, value in settings(recipe, *keys).items() if key not in _MIXING}

    def files(self, recipe: Recipe) -> Mapping[str, str]:
        """Prompts, class names, model description and weights, as far as they are files; weights as they are meant."""
        from pipeline.catalog import configs_directory

        text, configs = recipe.teacher.text, configs_directory()
        shipped = [configs / "prompts" / f"{text.prompts}.yaml", configs / "clip" / f"{text.model}.json"]
        found = weights_file(text.weights, text.sha256, "teacher.text")
        for name in (text.prompts, text.model, *map(str, shipped)):
            found |= weights_file(name)
        return found | class_names_digest(recipe)

    def run(self, context: StageContext) -> dict[str, Any]:
        """Load or fit, embed the prompts, measure zero-shot accuracy per view, save."""
        from safetensors.torch import save

        from exporters.parity.chance import chance_level, describe, is_above_chance
        from pipeline.stages.shared.training import discard_checkpoint
        from pipeline.tmkd.prompts import Prompts, encode_prompts, encode_random_prompts
        from pipeline.training.device import describe_device, make_fabric

        recipe, text = context.recipe, context.recipe.teacher.text
        data, folder = read_data(context), self.folder(context)
        classes = data.index.classes
        words = class_words(text.class_names, classes)
        named = dict(zip(classes, words, strict=True))
        if not text.has_image_tower:
            views = make_views(recipe)
            from pipeline.models.embeddings import read_embeddings

            path = Path(text.weights).expanduser()
            embeddings = read_embeddings(path, classes, words)
            stacked = embeddings.expand(len(views), -1, -1).contiguous()
            write_bytes(folder / "embeddings.safetensors", save({"text": stacked}))
            source = {"source": path.name, "weights_sha256": sha256_file(path)}
            write_json(folder / "report.json", source | {"class_names": named, "zero_shot": None})
            return {"source": path.name}

        from pipeline.models.clip import build_clip, fetched_sha256, load_clip

        prompts = Prompts.load(text.prompts)
        fabric = make_fabric(recipe.device, recipe.train.precision)
        fits = text.weights == "fit"
        with context.console.track(f"loading {text.model}", None):
            clip = build_clip(text.model, recipe.data.split_seed) if fits else load_clip(text.model, text.weights)
            clip = clip.to(fabric.device)
        stopped_early = False
        if fits:
            stopped_early = self._fit(context, data, clip, prompts, words, fabric)
            state = {key: value.detach().cpu().contiguous() for key, value in clip.model.state_dict().items()}
            write_bytes(folder / "clip.safetensors", save(state))
        clip.eval().requires_grad_(False)
        views = make_views(recipe)
        with context.console.track("encoding prompts", None):
            embeddings = encode_prompts(clip.encode_text, prompts, words, views.kinds)
        zero_shot = _measure(clip, embeddings, views, data, fabric)
        by_view = ", ".join(f"{view} {100 * accuracy:.2f} %" for view, accuracy in zero_shot.items())
        context.console.say(f"text teacher {text.model}: validation top-1 from prompts alone: {by_view}")
        labels = data.index.splits["validation"].labels
        best, chance = max(zero_shot.values()), chance_level(labels)
        if not is_above_chance(round(best * len(labels)), len(labels), chance):
            context.console.warn(
                "the text teacher is at chance level, so that its weights of the views are noise:"
                f" {describe(best, len(labels), chance, 'validation')}"
            )
        # The control of line 5 lies beside them, so that a change of the weighting makes no new text teacher.
        random = encode_random_prompts(clip.encode_text, recipe.data.split_seed, len(classes), views.names)
        tensors = {name: tensor.cpu().contiguous() for name, tensor in (("text", embeddings), ("random", random))}
        write_bytes(folder / "embeddings.safetensors", save(tensors))
        report = {
            "source": f"{text.model} {text.weights}",
            "weights_sha256": None if fits else fetched_sha256(text.model, text.weights),
            "prompts": text.prompts,
            "class_names": named,
            "zero_shot": zero_shot,
            "stopped_early": stopped_early,
        }
        write_json(folder / "report.json", report)
        discard_checkpoint(context, self.name)
        return {"zero_shot": zero_shot, "device": describe_device(fabric)}

    def _fit(
        self,
        context: StageContext,
        data: Data,
        clip: "Clip",
        prompts: "Prompts",
        words: Sequence[str],
        fabric: "Fabric",
    ) -> bool:
        """Train the CLIP; returns whether training stopped early."""
        from pipeline.stages.shared.training import train
        from pipeline.tmkd.text_fit import TextFit
        from pipeline.training.step import Training

        recipe = context.recipe
        # The fit belongs to the data, like the split: the seeds of a comparison share it.
        seed = recipe.data.split_seed
        views = make_fitted_views(recipe) if has_views(recipe) else make_views(recipe)
        training = Training(
            name="text teacher",
            task=TextFit(clip, prompts, views, words, seed),
            loader=data.loader,
            augmentation=data.augmentation(recipe, seed).without_mixing(),
            settings=recipe.teacher.text.fit,
            seed=seed,
        )
        fitted = train(context, self.name, training, fabric)
        training.task.load_state_dict(fitted.chosen_state)
        return fitted.stopped_early


def _measure(clip: "Clip", embeddings: "Tensor", views: "Views", data: Data, fabric: "Fabric") -> dict[str, float]:
    from pipeline.evaluation.zero_shot import zero_shot_accuracy

    batches = data.loader.evaluation_batches("validation", data.geometry)
    return zero_shot_accuracy(clip, embeddings.to(fabric.device), views, batches, fabric.device)
