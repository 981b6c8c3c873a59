"""Tasks and labeling config have the structure that https://labelstud.io/guide/predictions describes."""

import json
from typing import Any
from xml.etree import ElementTree

from semisup.labeling.label_studio import LabelingTask, labeling_config, tasks_json

CLASSES = ["apple", "Käse & <Brot>", 'quote"s', *(f"more {number}" for number in range(9))]
TASKS = [
    LabelingTask("unlabeled/a b.jpg", "/data/local-files/?d=photos/unlabeled/a%20b.jpg", "", CLASSES[1], 0.75, 0.4),
    LabelingTask("labeled/apple/ü.jpg", "http://host/%C3%BC.jpg", "apple", CLASSES[2], 1.0, 0.98),
]


def check_against_config(tasks: Any, config: ElementTree.Element) -> None:
    """What Label Studio checks when it imports tasks: data that the config names, predictions that fit its controls."""
    (image,), (choices,) = config.findall("Image"), config.findall("Choices")
    allowed = {each.attrib["value"] for each in choices.findall("Choice")}
    assert choices.attrib["toName"] == image.attrib["name"]
    assert image.attrib["value"].startswith("$")
    for task in tasks:
        assert set(task) == {"data", "predictions"}
        assert isinstance(task["data"][image.attrib["value"][1:]], str)
        for prediction in task["predictions"]:
            assert isinstance(prediction["model_version"], str)
            assert isinstance(prediction["score"], float)
            assert 0 <= prediction["score"] <= 1
            (result,) = prediction["result"]
            assert (result["from_name"], result["to_name"]) == (choices.attrib["name"], image.attrib["name"])
            assert result["type"] == choices.tag.lower()
            (choice,) = result["value"]["choices"]
            assert choice in allowed


def test_tasks_fit_the_labeling_config() -> None:
    tasks = json.loads(tasks_json(TASKS, "run-1"))
    config = ElementTree.fromstring(labeling_config(CLASSES))
    check_against_config(tasks, config)
    assert [each.attrib["value"] for each in config.iter("Choice")] == CLASSES
    assert [each.attrib.get("hotkey") for each in config.iter("Choice")] == [*"1234567890", None, None]
    assert tasks[0]["data"] == {"url": TASKS[0].url, "file": "unlabeled/a b.jpg", "score": 0.4}
    assert tasks[1]["data"]["given"] == "apple"
    assert [task["predictions"][0]["score"] for task in tasks] == [0.75, 1.0]


def test_an_export_as_csv_has_the_columns_of_a_table_of_labels() -> None:
    """Label Studio's CSV has the entries of `data` and, for each control, a column of its name with the choice."""
    (task, _) = json.loads(tasks_json(TASKS, "run-1"))
    control = task["predictions"][0]["result"][0]["from_name"]
    assert control == "class"
    assert control not in task["data"], "an entry of this name would replace the choice"
    assert "file" in task["data"]
