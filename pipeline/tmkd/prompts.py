"""Prior-aware prompts: TMKD (arXiv 2603.24208), our reconstruction, line 4.

A prompt file is `{views: {rgb: [template, …], edge: […], high_frequency: […]}}`, each template with `{}` for the
class. Reading one needs no torch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.core.errors import UsageError
from pipeline.tmkd.random_prompts import random_prompt
from pipeline.yaml_document import parse_yaml

if TYPE_CHECKING:
    from torch import Tensor

_BATCH = 256  # prompts in one pass of the text tower


@dataclass(frozen=True)
class Prompts:
    """The templates of a prompt file.

    Attributes:
        views: view name or kind of view → templates; `rgb` is always there.
    """

    views: Mapping[str, tuple[str, ...]]

    @classmethod
    def load(cls, name_or_path: str) -> "Prompts":
        """Read a prompt file.

        Args:
            name_or_path: a path, else the name of a shipped file, such as `birds`.

        Raises:
            UsageError: no such file, or a file with mistakes; all of them are reported, with file and key.
        """
        path = _find(name_or_path)
        try:
            document = parse_yaml(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: cannot be read: {error}") from error
        content = document.value
        problems = [f"line {position.line}: {message}" for position, message in document.mistakes]
        problems = problems or _problems(content)
        if problems:
            raise UsageError(
                "\n".join(f"{path}: {problem}" for problem in problems),
                remedy="A prompt file reads: views: {rgb: ['a photo of a {}.', …], edge: […], high_frequency: […]}",
            )
        return cls({view: tuple(templates) for view, templates in content["views"].items()})

    def templates(self, view: str, kind: str | None = None) -> tuple[str, ...]:
        """The templates of a view, else of its kind, else of rgb."""
        for key in (view, kind):
            if key is not None and key in self.views:
                return self.views[key]
        return self.views["rgb"]

    def texts(self, class_name: str, view: str, kind: str | None = None) -> list[str]:
        """The finished prompts of one class in one view."""
        return [template.replace("{}", class_name) for template in self.templates(view, kind)]


def encode_prompts(
    encode_text: Callable[[list[str]], "Tensor"],
    prompts: Prompts,
    class_names: Sequence[str],
    views: Mapping[str, str] | Sequence[str],
) -> "Tensor":
    """Text embedding of each class in each view: `t[v,k] = norm(mean_j norm(E_text(template_j(class_k))))` (line 4).

    Args:
        encode_text: texts → `[n, D]` on any device, any floating dtype; called with at most 256 texts.
        prompts: the templates.
        class_names: K names as they should read in a sentence.
        views: view name → kind in the order wanted (`Views.kinds`), or the names alone where each is its own kind.

    Returns:
        `[V, K, D]` fp32, rows of length 1, without gradient, on the device of `encode_text`.
    """
    kinds = views if isinstance(views, Mapping) else {name: name for name in views}
    groups = [prompts.texts(name, view, kind) for view, kind in kinds.items() for name in class_names]
    return _encode(encode_text, groups).reshape(len(kinds), len(class_names), -1)


def encode_random_prompts(
    encode_text: Callable[[list[str]], "Tensor"], seed: int, classes: int, views: Sequence[str]
) -> "Tensor":
    """Text embedding of a prompt that says nothing for each class in each view: the control of line 5.

    Args:
        encode_text: as for `encode_prompts`.
        seed: of the prompts.
        classes: how many, K.
        views: the views' names, in the order wanted.

    Returns:
        `[V, K, D]` as of `encode_prompts`.
    """
    groups = [[random_prompt(seed, view, label)] for view in views for label in range(classes)]
    return _encode(encode_text, groups).reshape(len(views), classes, -1)


def _encode(encode_text: Callable[[list[str]], "Tensor"], groups: list[list[str]]) -> "Tensor":
    """The normalised mean of the normalised embeddings of each group of texts: `[groups, D]` fp32, no gradient."""
    import torch
    from torch.nn.functional import normalize

    # Views often share templates: each text is encoded once.
    index = {text: i for i, text in enumerate(dict.fromkeys(text for group in groups for text in group))}
    unique = list(index)
    with torch.no_grad():
        batches = [encode_text(unique[start : start + _BATCH]).float() for start in range(0, len(unique), _BATCH)]
        embeddings = normalize(torch.cat(batches), dim=-1)
        means = torch.stack([embeddings[[index[text] for text in group]].mean(dim=0) for group in groups])
        return normalize(means, dim=-1)


def _find(name_or_path: str) -> Path:
    from pipeline.catalog import configs_directory

    path = Path(name_or_path)
    if path.is_file():
        return path
    folder = configs_directory() / "prompts"
    shipped = folder / f"{name_or_path}.yaml"
    if path.name == name_or_path and shipped.is_file():
        return shipped
    known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
    raise UsageError(
        f"teacher.text.prompts: no prompts {name_or_path!r}", remedy=f"Give a path, or one of the shipped: {known}."
    )


def _problems(content: Any) -> list[str]:
    if not isinstance(content, dict):
        return ["expected a mapping with the key views"]
    problems = [f"unknown key {key!r}" for key in content if key != "views"]
    views = content.get("views")
    if not isinstance(views, dict):
        return [*problems, "views: expected a mapping of view to templates"]
    if "rgb" not in views:
        problems.append("views.rgb: missing; the other views fall back to it")
    for view, templates in views.items():
        if not isinstance(templates, list) or not templates:
            problems.append(f"views.{view}: expected a list of at least one template")
            continue
        for i, template in enumerate(templates):
            if not isinstance(template, str) or "{}" not in template:
                problems.append(f"views.{view}[{i}]: expected text with {{}} for the class name, not {template!r}")
    return problems
