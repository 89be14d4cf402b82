from pipeline.data.inspection.found import EXAMPLES, Found


def test_all_are_counted_and_the_first_are_named() -> None:
    found = Found()
    for number in range(EXAMPLES + 5):
        found.add(f"{number}\udcff.png", None if number % 2 else f"image {number}")
    assert found.count == EXAMPLES + 5 and len(found.examples) == len(found.keys) == EXAMPLES
    assert found.examples[:2] == ["image 0", "1\\xff.png"] and found.keys[1] == "1\udcff.png"
