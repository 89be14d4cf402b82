"""A bundle is found at its own path and in the folder that holds it."""

from pathlib import Path

from exporters.bundle.place import bundle_of


def test_bundle_is_found_in_the_folder_of_its_run(tmp_path: Path) -> None:
    bundle = tmp_path / "run" / "bundle"
    bundle.mkdir(parents=True)
    assert bundle_of(tmp_path / "run") == tmp_path / "run"  # an empty folder is no bundle
    (bundle / "manifest.json").write_text("{}")
    assert bundle_of(tmp_path / "run") == bundle == bundle_of(bundle)


def test_path_without_a_bundle_stays_for_the_message_that_names_it(tmp_path: Path) -> None:
    assert bundle_of(tmp_path / "nothing") == tmp_path / "nothing"


def test_folder_with_a_manifest_of_its_own_is_the_bundle(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "bundle"):
        folder.mkdir(exist_ok=True)
        (folder / "manifest.json").write_text("{}")
    assert bundle_of(tmp_path) == tmp_path
