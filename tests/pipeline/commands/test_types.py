import click
import pytest

from pipeline.commands.types import BatchRange, Channels, Names, Numbers, Share, flattened


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Channels(), "0.485,0.456,0.406", (0.485, 0.456, 0.406)),
        (BatchRange(), "1,16,64", (1, 16, 64)),
        (Numbers(), "1,4,16", (1, 4, 16)),
        (Numbers(), (2, 3), (2, 3)),
        (Names("fp32", "fp16"), " fp16, fp32,", ("fp16", "fp32")),
        (Names(), "a,b", ("a", "b")),
        (Names(), "", ()),
        (Share(), "0.7", 0.7),
        (Share(), "1", 1.0),
    ],
)
def test_lists_are_converted(kind: click.ParamType, text: object, value: tuple[object, ...]) -> None:
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (Channels(), "0.5,0.5", "three numbers such as"),
        (BatchRange(), "1,2,many", "three whole numbers such as 1,16,64"),
        (Numbers(), "1;2", "not a list of whole numbers"),
        (Names("fp32", "fp16"), "fp16,fp8", "'fp8' is not one of fp32, fp16"),
        (Names("fp32"), ",", "nothing is not one of fp32"),
        (Share(), "70", r"70 is not from 0 to 1; did you mean 0\.7\?"),
        (Share(), "70%", r"70% is not from 0 to 1; did you mean 0\.7\?"),
        (Share(), "1.5", "1.5 is not in the range 0<=x<=1"),
        (Share(), "most", "'most' is not a valid float"),
    ],
)
def test_other_texts_are_refused(kind: click.ParamType, text: str, message: str) -> None:
    with pytest.raises(click.BadParameter, match=message):
        kind.convert(text, None, None)


def test_names_of_a_repeated_option_are_listed_once() -> None:
    assert flattened((("a", "b"), ("b", "c"))) == ("a", "b", "c")
