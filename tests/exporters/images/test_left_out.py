from exporters.images.left_out import describe_left_out


def test_left_out_files_are_described_in_one_line() -> None:
    assert describe_left_out({".txt": 2, "dead link": 1}, {".txt": "a\n.txt"}) == "2 .txt (a?.txt, …), 1 dead link"
    line = describe_left_out(
        {"hidden file": 2, "link to a folder that was read already": 3, "file outside a class folder": 1}, {}
    )
    assert line == "3 links to a folder that was read already, 2 hidden files, 1 file outside a class folder"
    assert describe_left_out({f".{i}": 9 - i for i in range(10)}, {}).endswith("2 .7, 1 of 2 other kinds")
