import re

from hypothesis import given
from hypothesis import strategies as st

from pipeline.tracking.names import figure_name, file_name, project_name

TEXTS = st.text(max_size=30)
MLFLOW = re.compile(r"[\w.\- /]*")


def test_usual_names_stay_as_they_are() -> None:
    assert figure_name("race/2 epochs/tmkd on kd", "loss") == "race/2 epochs/tmkd on kd/loss"
    assert figure_name("distill", "time", "parts", "data") == "distill/time/parts/data"
    assert file_name("my-run 2") == "my-run 2" and project_name("Vögel") == "Vögel"


@given(TEXTS)
def test_every_name_is_one_that_mlflow_takes(text: str) -> None:
    name = figure_name("distill", text)
    assert MLFLOW.fullmatch(name)
    assert not {"", ".", ".."} & set(name.split("/"))


@given(TEXTS, TEXTS)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert (figure_name(one) == figure_name(other)) == (one == other)


@given(TEXTS)
def test_file_names_stay_in_their_folder(text: str) -> None:
    name = file_name(text)
    assert name and "/" not in name and name[0] not in ". "


@given(TEXTS)
def test_projects_have_no_sign_that_is_refused(text: str) -> None:
    assert not set("/\\#?%:") & set(project_name(text))
