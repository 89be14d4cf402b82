"""What a recipe names: its data, its weights, in files, in the caches, and on their servers."""

from collections.abc import Iterator

from exporters.student.architectures.facts import facts_of
from exporters.student.architectures.weights_cache import WeightsCache, can_be_fetched
from pipeline.doctor.finding import Finding
from pipeline.preflight.files import NamedPath, named_paths
from pipeline.recipe.needs import needs_teacher, needs_text_embeddings
from pipeline.recipe.schema.recipe import Recipe
from pipeline.recipe.schema.weights import names_file


def examine_caches() -> Iterator[Finding]:
    """Count the published weights that are in the caches of torch and of the Hugging Face hub."""
    cache = WeightsCache.look()
    count = len(cache.files) + len(cache.repositories)
    if count:
        yield Finding("cached weights", "ok", f"{len(cache.files)} of torch, {len(cache.repositories)} of the hub")
    else:
        means = "`weights: imagenet` and the tags of CLIP are fetched at first use"
        yield Finding("cached weights", "note", "none", means)


def examine_recipe(recipe: Recipe, stages: frozenset[str], *, network: bool) -> Iterator[Finding]:
    """Look at each path that the recipe's stages read, and at published weights; data are not read.

    Args:
        recipe: the recipe.
        stages: names of those that it needs.
        network: whether to ask servers for weights that are not here; no content is fetched.
    """
    for named in named_paths(recipe):
        if named.stages & stages:
            yield _path(named)
    cache = WeightsCache.look()
    wanted = {"student": (recipe.student.model, recipe.student.weights)}
    if needs_teacher(recipe):
        wanted["teacher.visual"] = (recipe.teacher.visual.model, recipe.teacher.visual.weights)
    tower = recipe.teacher.text.tower
    if needs_text_embeddings(recipe) and tower is not None and not tower.is_teacher:
        wanted["teacher.text.tower"] = (tower.model, tower.weights)
    for section, (model, weights) in wanted.items():
        if weights == "imagenet":
            facts = facts_of(model)
            source = None if facts is None else facts.weights
            yield _published(f"{section}.weights", f"{model} imagenet", source, cache, network)
    text = recipe.teacher.text
    if needs_text_embeddings(recipe) and text.weights != "fit" and not names_file(text.weights):
        shown = f"{text.model} {text.weights}"
        yield _published("teacher.text.weights", shown, _clip_source(text.model, text.weights), cache, network)


def _path(named: NamedPath) -> Finding:
    if (error := named.unusable()) is not None:
        found = error.message.removeprefix(f"{named.key}: ")
        return Finding(named.key, "fault", found, "the recipe needs it", error.remedy or "")
    return Finding(named.key, "ok", str(named.path))


def _clip_source(model: str, tag: str) -> str | None:
    """Where open_clip fetches weights from; None where it is not installed or does not say."""
    try:
        import open_clip

        config = open_clip.get_pretrained_cfg(model, tag) or {}
    except Exception:  # whatever is missing is named elsewhere in the report
        return None
    hub = str(config.get("hf_hub") or "").strip("/")
    return f"hub:{hub}" if hub else str(config.get("url") or "") or None


def _published(key: str, shown: str, source: str | None, cache: WeightsCache, network: bool) -> Finding:
    """Weights by name: in a cache, to be fetched, or nowhere."""
    if source is not None and source in cache:
        return Finding(key, "ok", f"{shown}: in the local cache")
    if not network:
        means = "they are fetched at first use"
        return Finding(key, "note", f"{shown}: not in the local cache", means, "--network asks whether they can be.")
    if can_be_fetched(source):
        return Finding(key, "ok", f"{shown}: not here, and its server has them")
    remedy = "Give the path of a file, take another network, or set a proxy (HTTPS_PROXY)."
    return Finding(key, "fault", f"{shown}: not here, and no server answers", "the recipe needs them", remedy)
