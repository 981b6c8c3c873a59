"""Store the features that a frozen encoder computes for each image, and train on these features.

recipe.py          what a stored feature depends on, besides the image
store.py           packs: folders with the features of many images
segment.py         the format of one file of a pack
encode.py          compute and store missing features
concatenation.py   combine the features of several networks
table.py           the features of the images of one run
images.py          objects that replace images and augmentations in training on features
classifier.py      trained models together with their encoders, for prediction
"""

from semisup.features.classifier import Ensemble
from semisup.features.concatenation import concatenate_features
from semisup.features.encode import EncodingJob, encode_missing, image_digests, seconds_per_view
from semisup.features.images import EncodedImages, StoredViews
from semisup.features.recipe import PackRecipe
from semisup.features.store import FeaturePack
from semisup.features.table import FeatureTable

__all__ = [
    "EncodedImages",
    "EncodingJob",
    "Ensemble",
    "FeaturePack",
    "FeatureTable",
    "PackRecipe",
    "StoredViews",
    "concatenate_features",
    "encode_missing",
    "image_digests",
    "seconds_per_view",
]
