"""Export the best model of a run to a folder, from which other programs can use it without semisup.

standalone_model.py   the model as one network: uint8 RGB images in, probabilities out
formats.py            the formats: onnx, torch, safetensors
preprocessing.py      preprocessing.json: how an image file becomes the input of the network
model_card.py         README.md: data, settings, accuracy, how to run the model
folder.py             write the folder
"""

from semisup.export.folder import export_run
from semisup.export.formats import FORMATS

__all__ = ["FORMATS", "export_run"]
