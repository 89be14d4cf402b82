from pipeline.doctor.finding import Finding


def test_finding_as_json_has_every_part() -> None:
    made = Finding("disk", "note", "2 GB free", "little", "Make room.")
    assert made.to_json() == {
        "about": "disk", "state": "note", "found": "2 GB free", "means": "little", "remedy": "Make room."
    }  # fmt: skip
