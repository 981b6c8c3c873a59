"""Write tasks and the labeling config for Label Studio, with the model's predictions as pre-annotations.

https://labelstud.io/guide/predictions describes the format of the tasks. Each task contains the file name under the key
`file`, and the user's choice gets the name `class`. Therefore Label Studio's CSV export has the columns `file` and
`class`, and can be used as a table of labels.
"""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple
from xml.etree import ElementTree

CONTROL, IMAGE, URL = "class", "image", "url"
"""Names in the labeling config: of the choices, of the image, and of the task's key with the address of the image."""

MAX_HOTKEY_CLASSES = 10


class LabelingTask(NamedTuple):
    """An image to label, as a task of Label Studio.

    file: name of the file in the tables of `semisup label`
    url: address from which Label Studio loads the image
    given: the given class; "" = unlabeled
    suggested: the most probable class
    confidence: probability of the suggested class, in [0, 1]
    score: how uncertain the prediction is, for an unlabeled image; how suspicious the given class is, for a labeled one
    """

    file: str
    url: str
    given: str
    suggested: str
    confidence: float
    score: float


def tasks_json(tasks: Iterable[LabelingTask], model_version: str) -> bytes:
    """Format tasks as JSON for import into Label Studio, with the predicted class preselected."""
    content = [_task(task, model_version) for task in tasks]
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def _task(task: LabelingTask, model_version: str) -> dict[str, Any]:
    result = {
        "from_name": CONTROL,
        "to_name": IMAGE,
        "type": "choices",
        "value": {"choices": [task.suggested]},
    }
    prediction = {"model_version": model_version, "score": task.confidence, "result": [result]}
    given = {"given": task.given} if task.given else {}
    return {"data": {URL: task.url, "file": task.file, **given, "score": task.score}, "predictions": [prediction]}


def labeling_config(classes: list[str]) -> bytes:
    """Build Label Studio's labeling config.

    The keys 1 to 9 and 0 of the keyboard select the first ten classes.
    """
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name=IMAGE, value=f"${URL}")
    choices = ElementTree.SubElement(
        view, "Choices", name=CONTROL, toName=IMAGE, choice="single", showInLine="true", required="true"
    )
    for number, name in enumerate(classes):
        hotkey = {"hotkey": str((number + 1) % 10)} if number < MAX_HOTKEY_CLASSES else {}
        ElementTree.SubElement(choices, "Choice", {"value": name, **hotkey})
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode").encode() + b"\n"
