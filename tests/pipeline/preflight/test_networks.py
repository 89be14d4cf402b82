from pipeline.preflight import networks
from tests.pipeline.preflight.conftest import Prospect


def test_networks_that_cannot_be_built_are_reported(prospect: Prospect) -> None:
    for check in (networks.check_student, networks.check_teacher, networks.check_method):
        assert not prospect.report(check).errors
    (error,) = prospect.report(networks.check_student, "student.arguments={no_such: 1}").errors
    assert "no_such" in error.message and error.exit_code == 2


def test_method_is_the_recipes_and_leaves_the_global_seed(prospect: Prospect) -> None:
    import torch

    before = torch.get_rng_state()
    ((_, method),) = networks.make_methods(prospect.subject("distill.method=kd"))
    assert type(method).__name__ == "KnowledgeDistillation"
    assert torch.equal(torch.get_rng_state(), before)


def test_tower_of_the_text_teacher_is_built(prospect: Prospect) -> None:
    assert not prospect.report(networks.check_text_tower).errors
    assert not prospect.report(networks.check_text_tower, "teacher.text.tower=teacher").errors
    wrong = "teacher.text.tower={model: resnet18, weights: no-such.pth, arguments: {no_such: 1}}"
    (error,) = prospect.report(networks.check_text_tower, wrong).errors
    assert error.message.startswith("teacher.text.tower: ") and "no_such" in error.message
